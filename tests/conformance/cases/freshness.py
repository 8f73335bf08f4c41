"""Freshness: Cache-Control, Expires, Age, Date and heuristics (RFC 9111 sections 4.2, 5.1 to 5.3)."""

from __future__ import annotations

from tests.conformance.cases.build import HOUR, asked_again, case, reused
from tests.conformance.model import Case, Step, at


def cc(value: str) -> tuple[str, str]:
    return ("Cache-Control", value)


_MAX_AGE_HERE = "9111 4.2.1"
_MAX_AGE: list[Case] = [
    asked_again("fresh-none", "9111 3", "no freshness and no validator", []),
    reused("fresh-max-age", _MAX_AGE_HERE, "max-age", [HOUR]),
    asked_again("fresh-max-age-0", _MAX_AGE_HERE, "max-age=0", [cc("max-age=0")]),
    asked_again("fresh-max-age-stale", _MAX_AGE_HERE, "max-age that has passed", [cc("max-age=1")], wait=2.2),
    reused("fresh-max-age-2-31-1", "9111 1.2.2", "max-age=2147483647", [cc("max-age=2147483647")]),
    reused("fresh-max-age-2-31", "9111 1.2.2", "max-age=2147483648", [cc("max-age=2147483648")]),
    reused("fresh-max-age-2-33", "9111 1.2.2", "max-age=9999999999", [cc("max-age=9999999999")]),
    reused("fresh-max-age-huge", "9111 1.2.2", "a max-age of 40 digits", [cc("max-age=" + "9" * 40)]),
    asked_again("fresh-max-age-age", "9111 4.2.3", "max-age consumed by Age", [HOUR, ("Age", "7200")]),
    reused("fresh-max-age-age-left", "9111 4.2.3", "max-age not consumed by Age", [HOUR, ("Age", "1800")]),
    asked_again("fresh-max-age-old-date", "9111 4.2.3", "apparent age", [HOUR, ("Date", at(-7200))]),
    reused(
        "fresh-max-age-expired", _MAX_AGE_HERE, "max-age overrides Expires", [HOUR, ("Expires", at(-7200))]
    ),
    reused(
        "fresh-max-age-expires-bad",
        _MAX_AGE_HERE,
        "max-age overrides a bad Expires",
        [HOUR, ("Expires", "0")],
    ),
    asked_again(
        "fresh-max-age-0-expires",
        _MAX_AGE_HERE,
        "max-age=0 overrides Expires",
        [cc("max-age=0"), ("Expires", at(7200))],
    ),
    reused("fresh-s-maxage", "9111 5.2.2.10", "s-maxage", [cc("s-maxage=3600")]),
    reused(
        "fresh-s-maxage-longer",
        "9111 5.2.2.10",
        "s-maxage overrides a shorter max-age",
        [cc("max-age=0, s-maxage=3600")],
    ),
    asked_again(
        "fresh-s-maxage-shorter",
        "9111 5.2.2.10",
        "s-maxage overrides a longer max-age",
        [cc("max-age=3600, s-maxage=1")],
        wait=2.2,
    ),
    reused(
        "fresh-s-maxage-expires",
        "9111 5.2.2.10",
        "s-maxage overrides Expires",
        [cc("s-maxage=3600"), ("Expires", at(-100))],
    ),
    asked_again(
        "fresh-private-s-maxage",
        "9111 5.2.2.7",
        "private wins over s-maxage",
        [cc("private, s-maxage=3600")],
    ),
]


def _parsing() -> list[Case]:
    here = "9111 4.2.1"
    fresh = [
        ("upper", "MAX-AGE=3600", "directive names ignore case"),
        ("mixed", "mAx-AgE=3600", "directive names ignore mixed case"),
        ("quoted", 'max-age="3600"', "an argument may be quoted"),
        ("zeros", "max-age=003600", "leading zeros"),
        ("extension", "foobar, max-age=3600", "unknown directives"),
        ("extension-arg", "foobar=3, max-age=3600", "unknown directives with an argument"),
        ("extension-quoted", 'foobar="a, max-age=0", max-age=3600', "a directive inside a quoted string"),
        ("extension-escaped", 'foo="a\\", max-age=0", max-age=3600', "a quote escaped in a quoted string"),
        ("empty-members", ", ,max-age=3600,, ", "empty list members"),
        ("no-space", "public,max-age=3600", "no space after the comma"),
        ("tab", "public\t,\tmax-age=3600", "tabs around the comma"),
    ]
    stale = [
        ("negative", "max-age=-3600", "a negative max-age"),
        ("float", "max-age=3600.0", "a decimal max-age"),
        ("suffix", "max-age=3600a", "digits with a suffix"),
        ("prefix", "max-age=a3600", "digits with a prefix"),
        ("single-quoted", "max-age='3600'", "single quotes"),
        ("space-before", "max-age =3600", "white space before ="),
        ("space-after", "max-age= 3600", "white space after ="),
        ("empty", "max-age=", "an empty argument"),
        ("none", "max-age", "a missing argument"),
        ("plus", "max-age=+3600", "a plus sign"),
        ("hex", "max-age=0x3600", "a hexadecimal number"),
        ("other-name", "x-max-age=3600", "another directive with a like name"),
    ]
    cases = [reused(f"parse-{name}", here, title, [cc(value)]) for name, value, title in fresh]
    cases += [asked_again(f"parse-{name}", here, title, [cc(value)]) for name, value, title in stale]
    twice = [("line", [cc("max-age=1800, max-age=1")]), ("lines", [cc("max-age=1800"), cc("max-age=1")])]
    for name, answer in twice:
        cases.append(
            asked_again(
                f"parse-two-{name}", here, "of two values the smaller", answer, wait=2.2, level="optimal"
            )
        )
    cases += [
        reused("parse-lines", "9110 5.3", "several Cache-Control lines", [cc("public"), HOUR]),
        asked_again(
            "parse-lines-no-store", "9110 5.3", "no-store on a line of its own", [HOUR, cc("no-store")]
        ),
    ]
    return cases


def _age() -> list[Case]:
    here = "9111 5.1"
    ignored = [
        ("text", "abc"),
        ("negative", "-7200"),
        ("float", "7200.0"),
        ("suffix", "7200a"),
        ("prefix", "a7200"),
        ("parameter", "7200;foo=bar"),
        ("quoted", '"7200"'),
    ]
    cases = [
        reused(f"age-{name}", here, f"an invalid Age ({value}) is ignored", [HOUR, ("Age", value)])
        for name, value in ignored
    ]
    for name, value in [("2-31-1", "2147483647"), ("2-31", "2147483648"), ("huge", "9" * 30)]:
        cases.append(asked_again(f"age-{name}", here, f"an Age of {value}", [HOUR, ("Age", value)]))
    return cases


def _between(value: str | None, low: int, high: int) -> str:
    return "" if value is not None and value.isdigit() and low <= int(value) <= high else f"age is {value}"


_AGE = "9111 5.1"
_AGE_SENT: list[Case] = [
    asked_again("age-two", _AGE, "of two values the first", [HOUR, ("Age", "7200, 0")]),
    asked_again("age-two-lines", _AGE, "of two lines the first", [HOUR, ("Age", "7200"), ("Age", "0")]),
    reused("age-two-low", _AGE, "a low first value counts", [HOUR, ("Age", "0, 7200")]),
    reused("age-two-lines-low", _AGE, "a low first line counts", [HOUR, ("Age", "0"), ("Age", "7200")]),
    reused("age-text-line", _AGE, "the first line is invalid", [HOUR, ("Age", "abc"), ("Age", "7200")]),
    case(
        "age-sent",
        _AGE,
        "required",
        "a stored response is sent with its Age",
        Step(answer=[HOUR, ("Age", "100")], wait=2.1),
        Step(expect="cached", check=lambda answer: _between(answer.get("age"), 102, 106)),
    ),
    case(
        "age-sent-none",
        _AGE,
        "required",
        "Age is made when the origin sent none",
        Step(answer=[HOUR], wait=2.1),
        Step(expect="cached", check=lambda answer: _between(answer.get("age"), 2, 6)),
    ),
    case(
        "age-sent-date",
        "9111 4.2.3",
        "required",
        "Age counts what Date shows",
        Step(answer=[HOUR, ("Date", at(-300))]),
        Step(expect="cached", check=lambda answer: _between(answer.get("age"), 299, 304)),
    ),
    case(
        "age-delay",
        "9111 4.2.3",
        "optimal",
        "Age counts the time the response took",
        Step(answer=[HOUR, ("Age", "10")], delay=2.0),
        Step(expect="cached", check=lambda answer: _between(answer.get("age"), 11, 15)),
    ),
    case(
        "age-one",
        _AGE,
        "required",
        "one Age field is sent, not two",
        Step(answer=[HOUR, ("Age", "10")]),
        Step(
            expect="cached",
            check=lambda answer: "" if len(answer.all("age")) == 1 else f"{answer.all('age')}",
        ),
    ),
]
_EXPIRES_HERE = "9111 5.3"
_EXPIRES_YEAR = "Thu, 18 Aug 2050 02:01:18 GMT"
_EXPIRES_VALID = [
    ("rfc850", "Thursday, 18-Aug-50 02:01:18 GMT"),
    ("asctime", "Thu Aug 18 02:01:18 2050"),
    ("fixdate", _EXPIRES_YEAR),
    ("asctime-day", "Mon Aug  8 02:01:18 2050"),
]
_EXPIRES_INVALID = {
    "zero": "0",
    "minus": "-1",
    "utc": _EXPIRES_YEAR.replace("GMT", "UTC"),
    "zone": _EXPIRES_YEAR.replace("GMT", "AEST"),
    "offset": _EXPIRES_YEAR.replace("GMT", "+0000"),
    "2-digit-year": "Thu, 18 Aug 50 02:01:18 GMT",
    "no-comma": _EXPIRES_YEAR.replace(",", ""),
    "spaces": "Thu, 18  Aug  2050  02:01:18  GMT",
    "1-digit-hour": "Thu, 18 Aug 2050 2:01:18 GMT",
    "periods": "Thu, 18 Aug 2050 02.01.18 GMT",
    "dashes": "Thu, 18-Aug-2050 02:01:18 GMT",
    "text": "never",
    "empty": "",
    "iso": "2050-08-18T02:01:18Z",
    "no-weekday": "18 Aug 2050 02:01:18 GMT",
    "timestamp": "2544400878",
    "25-hours": _EXPIRES_YEAR.replace("02:", "25:"),
    "month-case": _EXPIRES_YEAR.replace("Aug", "aug"),
    "weekday-case": _EXPIRES_YEAR.replace("Thu", "THU"),
    "zone-case": _EXPIRES_YEAR.replace("GMT", "gmt"),
    "no-zone": _EXPIRES_YEAR.removesuffix(" GMT"),
    "quoted": f'"{_EXPIRES_YEAR}"',
    "day-32": _EXPIRES_YEAR.replace("18", "32", 1),
}
_EXPIRES = [
    reused(f"expires-{name}", _EXPIRES_HERE, f"Expires: {value}", [("Expires", value)])
    for name, value in _EXPIRES_VALID
]
_EXPIRES += [
    asked_again(
        f"expires-bad-{name}", _EXPIRES_HERE, f"an invalid Expires ({value}) is past", [("Expires", value)]
    )
    for name, value in _EXPIRES_INVALID.items()
]
_EXPIRES += [
    reused("expires-future", _EXPIRES_HERE, "Expires in the future", [("Expires", at(3600))]),
    asked_again("expires-past", _EXPIRES_HERE, "Expires in the past", [("Expires", at(-3600))]),
    asked_again("expires-present", _EXPIRES_HERE, "Expires now", [("Expires", at(0))]),
    asked_again(
        "expires-old-date",
        _EXPIRES_HERE,
        "Expires in the future, used up by an old Date",
        [("Expires", at(-1800)), ("Date", at(-3600))],
    ),
    asked_again(
        "expires-fast-date",
        _EXPIRES_HERE,
        "Expires before a Date in the future",
        [("Expires", at(3600)), ("Date", at(7200))],
    ),
    asked_again(
        "expires-age", "9111 4.2.3", "Expires consumed by Age", [("Expires", at(3600)), ("Age", "7200")]
    ),
    asked_again(
        "expires-lines", _EXPIRES_HERE, "two Expires lines", [("Expires", at(3600)), ("Expires", at(7200))]
    ),
    reused("expires-no-date", "9110 6.6.1", "Expires without a Date", [("Expires", at(3600))], date=False),
    asked_again(
        "expires-bad-date",
        "9111 5.3",
        "Expires with max-age=0 and bad Date",
        [cc("max-age=0"), ("Expires", at(3600)), ("Date", "yesterday")],
    ),
    reused(
        "expires-unknown-cc",
        _EXPIRES_HERE,
        "Expires beside unknown directives",
        [("Expires", at(3600)), cc("foo=1")],
    ),
]


def _heuristics() -> list[Case]:
    here = "9111 4.2.2"
    aged = ("Last-Modified", at(-86_400 * 100))
    cases = [
        reused(f"heuristic-{status}", here, f"{status} is heuristically cacheable", [aged], status=status)
        for status in (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501)
    ]
    cases += [
        asked_again(
            f"heuristic-{status}", here, f"{status} is not heuristically cacheable", [aged], status=status
        )
        for status in (201, 202, 302, 307, 403, 500, 502, 503, 504, 599)
    ]
    cases += [
        reused("heuristic-public", here, "an unknown status with public", [aged, cc("public")], status=299),
        asked_again(
            "heuristic-no-lm", here, "public alone gives no freshness", [cc("public")], level="optimal"
        ),
        asked_again("heuristic-no-cache", here, "no-cache forbids heuristics", [aged, cc("no-cache")]),
        asked_again("heuristic-recent", here, "modified just now", [("Last-Modified", at(0))]),
        asked_again(
            "heuristic-future", here, "modified in the future", [("Last-Modified", at(3600))], level="optimal"
        ),
    ]
    return cases


CASES = [*_MAX_AGE, *_parsing(), *_age(), *_AGE_SENT, *_EXPIRES, *_heuristics()]
