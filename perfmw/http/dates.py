"""HTTP dates: the three formats of RFC 9110 section 5.6.7, case-sensitive, and nothing more."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

_DAYS = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAYS = rb"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_NAMES = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_WEEKDAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTH = rb"(?P<month>" + b"|".join(_NAMES) + rb")"
_TIME = rb"(?P<h>[0-9]{2}):(?P<m>[0-9]{2}):(?P<s>[0-9]{2})"
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}

_FORMATS = (
    re.compile(_DAYS + rb", (?P<day>[0-9]{2}) " + _MONTH + rb" (?P<year>[0-9]{4}) " + _TIME + rb" GMT"),
    re.compile(_LONG_DAYS + rb", (?P<day>[0-9]{2})-" + _MONTH + rb"-(?P<year>[0-9]{2}) " + _TIME + rb" GMT"),
    re.compile(_DAYS + rb" " + _MONTH + rb" (?P<day>[0-9]{2}| [0-9]) " + _TIME + rb" (?P<year>[0-9]{4})"),
)
_EPOCH = date(1970, 1, 1).toordinal()
_SECONDS_A_YEAR = 31_556_952
_LONGEST = 40


def parse_date(value: bytes, this_year: int = 2025) -> float | None:
    """Unix seconds of an HTTP-date, or None when it is not one.

    :param this_year: a two-digit year more than 50 years after it is a year of the past.
    """
    return _parse(value, this_year) if len(value) <= _LONGEST else None


@lru_cache(maxsize=1024)
def _parse(value: bytes, this_year: int) -> float | None:
    for pattern in _FORMATS:
        if found := pattern.fullmatch(value):
            return _timestamp(found, this_year)
    return None


def format_date(now: float) -> bytes:
    """Unix seconds as an IMF-fixdate, in whole seconds."""
    days, seconds = divmod(int(now), 86_400)
    day = date.fromordinal(_EPOCH + days)
    clock = b"%02d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)
    name = _WEEKDAYS[day.weekday()]
    return b"%s, %02d %s %04d %s GMT" % (name, day.day, _NAMES[day.month - 1], day.year, clock)


def year_of(now: float) -> int:
    """The calendar year of a unix time, near enough to read two-digit years by."""
    return 1970 + int(now // _SECONDS_A_YEAR)


def _timestamp(found: re.Match[bytes], this_year: int) -> float | None:
    year, hour, minute, second = (int(found[name]) for name in ("year", "h", "m", "s"))
    if len(found["year"]) == 2:
        year += this_year - this_year % 100
        if year > this_year + 50:
            year -= 100
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        day = date(year, _MONTHS[found["month"]], int(found["day"])).toordinal() - _EPOCH
    except ValueError:
        return None
    return float(day * 86_400 + hour * 3600 + minute * 60 + second)
