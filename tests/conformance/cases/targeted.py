"""Targeted Cache-Control: CDN-Cache-Control as a structured field (RFC 9213)."""

from __future__ import annotations

from tests.conformance.cases.build import HOUR, asked_again, case, reused
from tests.conformance.model import Case, Step, at

ETAG = ("ETag", '"abc"')


def cdn(value: str) -> tuple[str, str]:
    return ("CDN-Cache-Control", value)


def cc(value: str) -> tuple[str, str]:
    return ("Cache-Control", value)


def _overriding() -> list[Case]:
    here = "9213 2.2"
    return [
        reused("cdn-max-age", here, "max-age alone", [cdn("max-age=3600")]),
        reused(
            "cdn-over-short",
            here,
            "a longer lifetime than Cache-Control",
            [cdn("max-age=3600"), cc("max-age=1")],
            wait=2.2,
        ),
        asked_again(
            "cdn-under-long",
            here,
            "a shorter lifetime than Cache-Control",
            [cdn("max-age=1"), HOUR],
            wait=2.2,
        ),
        asked_again("cdn-max-age-0", here, "max-age=0", [cdn("max-age=0"), HOUR]),
        reused("cdn-over-expires", here, "overrides Expires", [cdn("max-age=3600"), ("Expires", at(-3600))]),
        asked_again("cdn-no-store", here, "no-store", [cdn("no-store"), HOUR]),
        asked_again("cdn-private", here, "private", [cdn("private"), HOUR]),
        asked_again("cdn-no-cache", here, "no-cache", [cdn("no-cache"), HOUR]),
        reused("cdn-over-no-store", here, "overrides no-store", [cdn("max-age=3600"), cc("no-store")]),
        reused("cdn-over-private", here, "overrides private", [cdn("max-age=3600"), cc("private")]),
        reused("cdn-over-no-cache", here, "overrides no-cache", [cdn("max-age=3600"), cc("no-cache")]),
        asked_again("cdn-age", here, "consumed by Age", [cdn("max-age=3600"), ("Age", "7200")]),
        asked_again(
            "cdn-no-freshness",
            here,
            "Cache-Control gives nothing then",
            [cdn("public"), HOUR],
            level="optimal",
        ),
        case(
            "cdn-validated",
            here,
            "optimal",
            "no-cache with an ETag is validated",
            Step(answer=[cdn("no-cache"), ETAG]),
            Step(answer=[cdn("no-cache"), ETAG], expect="validated"),
        ),
        case(
            "cdn-must-revalidate",
            here,
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
            here,
            "required",
            "the field is passed on",
            Step(answer=[cdn("max-age=3600")], see=[cdn("max-age=3600")]),
            Step(expect="cached", see=[cdn("max-age=3600")]),
        ),
    ]


def _parsing() -> list[Case]:
    here = "9213 2.1"
    ignored = {
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
    valid = {
        "extension": "foo, max-age=3600",
        "extension-value": "foo=?0, max-age=3600",
        "parameters": "max-age=3600;a=b",
        "public": "public, max-age=3600",
        "true": "max-age=3600, public=?1",
        "last": "max-age=0, max-age=3600",
        "spaces": "public  ,\tmax-age=3600",
    }
    cases = [
        reused(f"cdn-ignored-{name}", here, f"does not parse: {value}", [cdn(value), HOUR])
        for name, value in ignored.items()
    ]
    cases += [
        reused(f"cdn-valid-{name}", here, f"parses: {value}", [cdn(value), cc("max-age=0")])
        for name, value in valid.items()
    ]
    cases += [
        asked_again(
            "cdn-string",
            here,
            "an argument of another type",
            [cdn('max-age="3600"'), cc("max-age=0")],
            level="optimal",
        ),
        asked_again(
            "cdn-decimal",
            here,
            "a decimal argument",
            [cdn("max-age=3600.0"), cc("max-age=0")],
            level="optimal",
        ),
        asked_again("cdn-negative", here, "a negative argument", [cdn("max-age=-3600"), cc("max-age=0")]),
        reused(
            "cdn-lines",
            here,
            "several lines are one dictionary",
            [cdn("public"), cdn("max-age=3600"), cc("max-age=0")],
        ),
        asked_again(
            "cdn-ignored-uses-cc",
            here,
            "an ignored field leaves Cache-Control",
            [cdn("max-age= 3600"), cc("max-age=0")],
        ),
    ]
    return cases


CASES = [*_overriding(), *_parsing()]
