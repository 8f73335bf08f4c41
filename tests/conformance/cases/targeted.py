"""Targeted Cache-Control: CDN-Cache-Control as a structured field (RFC 9213)."""

from __future__ import annotations

from tests.conformance.cases.build import HOUR, asked_again, case, reused
from tests.conformance.model import Case, Step, at

ETAG = ("ETag", '"abc"')


def cdn(value: str) -> tuple[str, str]:
    return ("CDN-Cache-Control", value)


def cc(value: str) -> tuple[str, str]:
    return ("Cache-Control", value)


_OVERRIDING_HERE = "9213 2.2"
_OVERRIDING: list[Case] = [
    reused("cdn-max-age", _OVERRIDING_HERE, "max-age alone", [cdn("max-age=3600")]),
    reused(
        "cdn-over-short",
        _OVERRIDING_HERE,
        "a longer lifetime than Cache-Control",
        [cdn("max-age=3600"), cc("max-age=1")],
        wait=2.2,
    ),
    asked_again(
        "cdn-under-long",
        _OVERRIDING_HERE,
        "a shorter lifetime than Cache-Control",
        [cdn("max-age=1"), HOUR],
        wait=2.2,
    ),
    asked_again("cdn-max-age-0", _OVERRIDING_HERE, "max-age=0", [cdn("max-age=0"), HOUR]),
    reused(
        "cdn-over-expires",
        _OVERRIDING_HERE,
        "overrides Expires",
        [cdn("max-age=3600"), ("Expires", at(-3600))],
    ),
    asked_again("cdn-no-store", _OVERRIDING_HERE, "no-store", [cdn("no-store"), HOUR]),
    asked_again("cdn-private", _OVERRIDING_HERE, "private", [cdn("private"), HOUR]),
    asked_again("cdn-no-cache", _OVERRIDING_HERE, "no-cache", [cdn("no-cache"), HOUR]),
    reused(
        "cdn-over-no-store", _OVERRIDING_HERE, "overrides no-store", [cdn("max-age=3600"), cc("no-store")]
    ),
    reused("cdn-over-private", _OVERRIDING_HERE, "overrides private", [cdn("max-age=3600"), cc("private")]),
    reused(
        "cdn-over-no-cache", _OVERRIDING_HERE, "overrides no-cache", [cdn("max-age=3600"), cc("no-cache")]
    ),
    asked_again("cdn-age", _OVERRIDING_HERE, "consumed by Age", [cdn("max-age=3600"), ("Age", "7200")]),
    asked_again(
        "cdn-no-freshness",
        _OVERRIDING_HERE,
        "Cache-Control gives nothing then",
        [cdn("public"), HOUR],
        level="optimal",
    ),
    case(
        "cdn-validated",
        _OVERRIDING_HERE,
        "optimal",
        "no-cache with an ETag is validated",
        Step(answer=[cdn("no-cache"), ETAG]),
        Step(answer=[cdn("no-cache"), ETAG], expect="validated"),
    ),
    case(
        "cdn-must-revalidate",
        _OVERRIDING_HERE,
        "required",
        "must-revalidate forbids stale",
        Step(answer=[cdn("max-age=1, must-revalidate")], wait=2.2),
        Step(status=503, expect_status=503),
    ),
    case(
        "cdn-304",
        "9111 3.2",
        "required",
        "a 304 updates it",
        Step(answer=[cdn("max-age=1"), ETAG], wait=2.2),
        Step(answer=[cdn("max-age=3600"), ETAG], expect="validated"),
        Step(expect="cached"),
    ),
    case(
        "cdn-kept",
        _OVERRIDING_HERE,
        "required",
        "the field is passed on",
        Step(answer=[cdn("max-age=3600")], see=[cdn("max-age=3600")]),
        Step(expect="cached", see=[cdn("max-age=3600")]),
    ),
]


_PARSING_HERE = "9213 2.1"
_PARSING_IGNORED = {
    "upper": "MAX-AGE=0",
    "space-before": "max-age =0",
    "space-after": "max-age= 0",
    "junk": "max-age=0, &",
    "trailing-comma": "max-age=0,",
    "single-quotes": "max-age='0'",
    "unclosed": 'max-age=0, a="b',
    "empty": "",
    "hash": "#!",
    "parameters-bad": "max-age=0; &",
}
_PARSING_VALID = {
    "extension": "foo, max-age=3600",
    "extension-value": "foo=?0, max-age=3600",
    "parameters": "max-age=3600;a=b",
    "public": "public, max-age=3600",
    "true": "max-age=3600, public=?1",
    "last": "max-age=0, max-age=3600",
    "spaces": "public  ,\tmax-age=3600",
}
_PARSING = [
    reused(f"cdn-ignored-{name}", _PARSING_HERE, f"does not parse: {value}", [cdn(value), HOUR])
    for name, value in _PARSING_IGNORED.items()
]
_PARSING += [
    reused(f"cdn-valid-{name}", _PARSING_HERE, f"parses: {value}", [cdn(value), cc("max-age=0")])
    for name, value in _PARSING_VALID.items()
]
_PARSING += [
    asked_again(
        "cdn-string",
        _PARSING_HERE,
        "an argument of another type",
        [cdn('max-age="3600"'), cc("max-age=0")],
        level="optimal",
    ),
    asked_again(
        "cdn-decimal",
        _PARSING_HERE,
        "a decimal argument",
        [cdn("max-age=3600.0"), cc("max-age=0")],
        level="optimal",
    ),
    asked_again(
        "cdn-negative", _PARSING_HERE, "a negative argument", [cdn("max-age=-3600"), cc("max-age=0")]
    ),
    reused(
        "cdn-lines",
        _PARSING_HERE,
        "several lines are one dictionary",
        [cdn("public"), cdn("max-age=3600"), cc("max-age=0")],
    ),
    asked_again(
        "cdn-ignored-uses-cc",
        _PARSING_HERE,
        "an ignored field leaves Cache-Control",
        [cdn("max-age= 3600"), cc("max-age=0")],
    ),
]


CASES = [*_OVERRIDING, *_PARSING]
