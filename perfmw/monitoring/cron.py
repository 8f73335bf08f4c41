"""Times by the five fields of a crontab line, in UTC. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

NAMED: Final[Mapping[str, str]] = {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * mon"}
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_FARTHEST: Final = 366 * 8
"""Days to look ahead: a leap day is eight years away at most."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """``minute hour day month weekday``: numbers, names, ``*``, lists, ranges and steps, as in crontab(5).

    Where day and weekday are both restricted, either is enough.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """``hourly``, ``daily``, ``weekly`` or five fields. Raises ValueError that says what is wrong."""
        parts = NAMED.get(text.strip().lower(), text).lower().split()
        if len(parts) != len(_FIELDS):
            raise ValueError("hourly, daily, weekly or five fields: minute hour day month weekday")
        found = [_field(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]
        weekdays = frozenset(day % 7 for day in found[4])
        # a field that begins with a star restricts nothing, as in crontab(5)
        either = not parts[2].startswith("*") and not parts[4].startswith("*")
        schedule = cls(found[0], found[1], found[2], found[3], weekdays, either)
        if schedule.next(0.0) is None:
            raise ValueError(f"{text!r} never comes")
        return schedule

    def matches(self, moment: datetime) -> bool:
        """Whether the minute of ``moment`` (UTC) is one of them."""
        return moment.minute in self.minutes and moment.hour in self.hours and self._on(moment)

    def next(self, after: float) -> float | None:
        """The first such time later than ``after``, unix seconds; None within eight years."""
        moment = datetime.fromtimestamp(after, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        for _ in range(_FARTHEST):
            if self._on(moment):
                found = self._within_day(moment)
                if found is not None:
                    return found.timestamp()
            moment = (moment + timedelta(days=1)).replace(hour=0, minute=0)
        return None

    def _on(self, moment: datetime) -> bool:
        if moment.month not in self.months:
            return False
        day, weekday = moment.day in self.days, moment.isoweekday() % 7 in self.weekdays
        return day or weekday if self.either else day and weekday

    def _within_day(self, moment: datetime) -> datetime | None:
        for hour in sorted(self.hours):
            if hour < moment.hour:
                continue
            first = moment.minute if hour == moment.hour else 0
            minute = min((one for one in self.minutes if one >= first), default=None)
            if minute is not None:
                return moment.replace(hour=hour, minute=minute)
        return None


def _field(text: str, name: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, name, 1, high) if slash else 1
        if span == "*":
            first, last = low, high
        elif "-" in span:
            first, last = (_number(end, name, low, high) for end in span.split("-", 1))
        else:
            first = _number(span, name, low, high)
            last = high if slash else first
        if first > last:
            raise ValueError(f"{part!r} is no {name}: it ends before it begins")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, name: str, low: int, high: int) -> int:
    names = {"month": _MONTHS, "weekday": _DAYS}.get(name, ())
    if text in names:
        return names.index(text) + (name == "month")
    if not (text.isascii() and text.isdigit()) or not low <= int(text[:9]) <= high:
        raise ValueError(f"{text!r} is no {name}, {low} to {high}")
    return int(text)


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """From every time of ``schedule`` for ``seconds``, nobody is told anything."""

    schedule: Schedule
    seconds: float
    text: str

    def covers(self, now: float) -> bool:
        """Whether unix time ``now`` is within one of them."""
        began = self.schedule.next(now - self.seconds)
        return began is not None and began <= now
