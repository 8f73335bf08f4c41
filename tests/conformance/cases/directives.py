"""Directives of responses and requests, and what may be stored (RFC 9111 sections 3 and 5.2)."""

from __future__ import annotations

from tests.conformance.cases.build import HOUR, asked_again, case, reused
from tests.conformance.model import Case, Step, at

ETAG = ("ETag", '"abc"')
LM = ("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
STATUSES = (200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 451, 499, 500, 502, 503, 504, 599)


def cc(value: str) -> tuple[str, str]:
    return ("Cache-Control", value)


_RESPONSES: list[Case] = [
    asked_again("resp-no-store", "9111 5.2.2.5", "no-store", [cc("no-store")]),
    asked_again("resp-no-store-case", "9111 5.2", "No-StOrE", [cc("No-StOrE, max-age=3600")]),
    asked_again(
        "resp-no-store-max-age", "9111 5.2.2.5", "no-store beside max-age", [cc("max-age=3600, no-store")]
    ),
    asked_again("resp-private", "9111 5.2.2.7", "private", [cc("private, max-age=3600")]),
    asked_again("resp-private-case", "9111 5.2", "PrIvAtE", [cc("PrIvAtE, max-age=3600")]),
    asked_again("resp-no-cache", "9111 5.2.2.4", "no-cache", [cc("no-cache, max-age=3600")]),
    asked_again("resp-no-cache-case", "9111 5.2", "No-CaChE", [cc("No-CaChE, max-age=3600")]),
    case(
        "resp-no-cache-validated",
        "9111 5.2.2.4",
        "optimal",
        "no-cache with an ETag is stored and validated",
        Step(answer=[cc("no-cache"), ETAG]),
        Step(answer=[cc("no-cache"), ETAG], expect="validated", validator="if-none-match"),
    ),
    case(
        "resp-no-cache-max-age-validated",
        "9111 5.2.2.4",
        "optimal",
        "no-cache beside max-age is validated",
        Step(answer=[cc("no-cache, max-age=3600"), ETAG]),
        Step(answer=[cc("no-cache, max-age=3600"), ETAG], expect="validated"),
    ),
    reused(
        "resp-must-revalidate",
        "9111 5.2.2.2",
        "must-revalidate while fresh",
        [cc("max-age=3600, must-revalidate")],
    ),
    asked_again(
        "resp-must-revalidate-stale",
        "9111 5.2.2.2",
        "must-revalidate once stale",
        [cc("max-age=1, must-revalidate")],
        wait=2.2,
    ),
    reused("resp-public", "9111 5.2.2.9", "public beside max-age", [cc("public, max-age=3600")]),
    reused("resp-immutable", "8246 2", "immutable beside max-age", [cc("max-age=3600, immutable")]),
    reused(
        "resp-no-transform",
        "9111 5.2.2.6",
        "no-transform beside max-age",
        [cc("max-age=3600, no-transform")],
    ),
    case(
        "resp-no-store-later",
        "9111 5.2.2.5",
        "optimal",
        "a no-store response leaves an older one alone",
        Step(answer=[HOUR]),
        Step(send=[cc("no-cache")], answer=[cc("no-store")], expect="origin"),
        Step(expect="cached", from_step=1),
    ),
    case(
        "resp-newest",
        "9111 4",
        "required",
        "of two stored responses the most recent is used",
        Step(answer=[HOUR, ETAG]),
        Step(send=[cc("no-cache")], answer=[HOUR, ("ETag", '"def"')], expect="origin"),
        Step(expect="cached", from_step=2),
    ),
    case(
        "resp-private-fields",
        "9111 5.2.2.7",
        "required",
        "a field named by private is not sent from the store",
        Step(answer=[cc('max-age=3600, private="a"'), ("A", "1"), ("B", "2")]),
        Step(check=lambda answer: "" if answer.get("a") in (None,) or not _hit(answer) else "A was stored"),
    ),
    case(
        "resp-no-cache-fields",
        "9111 5.2.2.4",
        "required",
        "fields named by no-cache are not sent from the store",
        Step(answer=[cc('max-age=3600, no-cache="a, b"'), ("A", "1"), ("B", "2"), ("C", "3")]),
        Step(
            check=lambda answer: (
                "A or B was stored" if _hit(answer) and (answer.get("a") or answer.get("b")) else ""
            )
        ),
    ),
    case(
        "resp-no-cache-one-field",
        "9111 5.2.2.4",
        "required",
        "no-cache=field as a token",
        Step(answer=[cc("max-age=3600, no-cache=a"), ("A", "1")]),
        Step(check=lambda answer: "A was stored" if _hit(answer) and answer.get("a") else ""),
    ),
    asked_again(
        "resp-pragma-beside",
        "9111 5.4",
        "Cache-Control: no-cache beside Pragma",
        [cc("no-cache"), ("Pragma", "x")],
    ),
    reused("resp-pragma", "9111 5.4", "Pragma in a response says nothing", [HOUR, ("Pragma", "no-cache")]),
    reused(
        "resp-pragma-expires",
        "9111 5.4",
        "Pragma does not outdo Expires",
        [("Expires", at(3600)), ("Pragma", "no-cache")],
    ),
    reused("resp-warning", "9111 5.5", "Warning is obsolete", [HOUR, ("Warning", '299 x "y"')]),
]


def _hit(answer: object) -> bool:
    return "hit" in (answer.get("cache-status") or "")  # type: ignore[attr-defined]


def _requests_request(
    id: str,
    section: str,
    level: str,
    title: str,
    first: list,
    directive: str,
    expect: str,
    wait: float = 0,
) -> Case:
    name, _, value = directive.partition(": ")
    return case(
        f"req-{id}",
        section,
        level,
        title,
        Step(answer=first, wait=wait),
        Step(send=[(name, value)], answer=first, expect=expect),
    )


_REQUESTS_SWR = [cc("max-age=1")]
_REQUESTS: list[Case] = [
    _requests_request(
        "max-age-0", "9111 5.2.1.1", "optimal", "max-age=0", [HOUR], "Cache-Control: max-age=0", "origin"
    ),
    _requests_request(
        "max-age-1",
        "9111 5.2.1.1",
        "optimal",
        "max-age=1 for an older one",
        [HOUR],
        "Cache-Control: max-age=1",
        "origin",
        2.5,
    ),
    _requests_request(
        "max-age-age",
        "9111 5.2.1.1",
        "optimal",
        "max-age less than Age",
        [HOUR, ("Age", "1800")],
        "Cache-Control: max-age=600",
        "origin",
    ),
    _requests_request(
        "max-age-enough",
        "9111 5.2.1.1",
        "optimal",
        "max-age more than the age",
        [HOUR],
        "Cache-Control: max-age=600",
        "cached",
    ),
    _requests_request(
        "max-stale",
        "9111 5.2.1.2",
        "optimal",
        "max-stale",
        _REQUESTS_SWR,
        "Cache-Control: max-stale=1000",
        "cached",
        2.5,
    ),
    _requests_request(
        "max-stale-any",
        "9111 5.2.1.2",
        "optimal",
        "max-stale without a limit",
        _REQUESTS_SWR,
        "Cache-Control: max-stale",
        "cached",
        2.5,
    ),
    _requests_request(
        "max-stale-age",
        "9111 5.2.1.2",
        "optimal",
        "max-stale and Age",
        [cc("max-age=1500"), ("Age", "2000")],
        "Cache-Control: max-stale=1000",
        "cached",
    ),
    _requests_request(
        "max-stale-over",
        "9111 5.2.1.2",
        "required",
        "staler than max-stale",
        [cc("max-age=1500"), ("Age", "3000")],
        "Cache-Control: max-stale=1000",
        "origin",
    ),
    _requests_request(
        "max-stale-must",
        "9111 5.2.2.2",
        "required",
        "max-stale against must-revalidate",
        [cc("max-age=1, must-revalidate")],
        "Cache-Control: max-stale=1000",
        "origin",
        2.5,
    ),
    _requests_request(
        "max-stale-proxy",
        "9111 5.2.2.8",
        "required",
        "max-stale against proxy-revalidate",
        [cc("max-age=1, proxy-revalidate")],
        "Cache-Control: max-stale=1000",
        "origin",
        2.5,
    ),
    _requests_request(
        "max-stale-s-maxage",
        "9111 5.2.2.10",
        "required",
        "max-stale against s-maxage",
        [cc("s-maxage=1")],
        "Cache-Control: max-stale=1000",
        "origin",
        2.5,
    ),
    _requests_request(
        "max-stale-no-cache",
        "9111 5.2.2.4",
        "required",
        "max-stale against no-cache",
        [cc("no-cache")],
        "Cache-Control: max-stale=1000",
        "origin",
    ),
    _requests_request(
        "min-fresh",
        "9111 5.2.1.3",
        "optimal",
        "min-fresh beyond the lifetime",
        [cc("max-age=1500")],
        "Cache-Control: min-fresh=2000",
        "origin",
    ),
    _requests_request(
        "min-fresh-age",
        "9111 5.2.1.3",
        "optimal",
        "min-fresh and Age",
        [cc("max-age=1500"), ("Age", "1000")],
        "Cache-Control: min-fresh=1000",
        "origin",
    ),
    _requests_request(
        "min-fresh-enough",
        "9111 5.2.1.3",
        "optimal",
        "min-fresh within the lifetime",
        [HOUR],
        "Cache-Control: min-fresh=60",
        "cached",
    ),
    _requests_request(
        "no-cache", "9111 5.2.1.4", "required", "no-cache", [HOUR], "Cache-Control: no-cache", "origin"
    ),
    _requests_request(
        "no-cache-case", "9111 5.2", "required", "NO-CACHE", [HOUR], "Cache-Control: NO-CACHE", "origin"
    ),
    _requests_request(
        "pragma", "9111 5.4", "optimal", "Pragma: no-cache alone", [HOUR], "Pragma: no-cache", "origin"
    ),
    case(
        "req-pragma-cc",
        "9111 5.4",
        "optimal",
        "Pragma is ignored beside Cache-Control",
        Step(answer=[HOUR]),
        Step(send=[("Pragma", "no-cache"), cc("max-age=600")], expect="cached"),
    ),
    case(
        "req-no-cache-etag",
        "9111 5.2.1.4",
        "optimal",
        "no-cache is answered by a validation",
        Step(answer=[HOUR, ETAG]),
        Step(send=[cc("no-cache")], answer=[HOUR, ETAG], expect="validated"),
    ),
    case(
        "req-no-cache-lm",
        "9111 5.2.1.4",
        "optimal",
        "no-cache is answered by a validation with a date",
        Step(answer=[HOUR, LM]),
        Step(send=[cc("no-cache")], answer=[HOUR, LM], expect="validated", validator="if-modified-since"),
    ),
    case(
        "req-no-store",
        "9111 5.2.1.5",
        "required",
        "the response to a no-store request is not stored",
        Step(send=[cc("no-store")], answer=[HOUR]),
        Step(answer=[HOUR], expect="origin"),
    ),
    case(
        "req-only-if-cached",
        "9111 5.2.1.7",
        "required",
        "only-if-cached without a stored response",
        Step(send=[cc("only-if-cached")], expect_status=504, check=lambda answer: ""),
    ),
    case(
        "req-only-if-cached-hit",
        "9111 5.2.1.7",
        "optimal",
        "only-if-cached with a stored response",
        Step(answer=[HOUR]),
        Step(send=[cc("only-if-cached")], expect="cached"),
    ),
    case(
        "req-only-if-cached-stale",
        "9111 5.2.1.7",
        "required",
        "only-if-cached with a stale response",
        Step(answer=[cc("max-age=1")], wait=2.2),
        Step(send=[cc("only-if-cached")], expect_status=504),
    ),
    _requests_request(
        "unknown",
        "9111 5.2.3",
        "optimal",
        "an unknown directive",
        [HOUR],
        "Cache-Control: foo=bar",
        "cached",
    ),
    _requests_request(
        "immutable",
        "8246 2",
        "optimal",
        "immutable without a reload",
        [cc("max-age=3600, immutable")],
        "Cache-Control: max-age=100",
        "cached",
    ),
]


def _statuses() -> list[Case]:
    cases = []
    for status in STATUSES:
        cases.append(
            reused(f"status-{status}-fresh", "9111 3", f"{status} with max-age", [HOUR], status=status)
        )
        cases.append(
            asked_again(
                f"status-{status}-stale",
                "9111 4.2",
                f"{status} once stale",
                [cc("max-age=1")],
                status=status,
                wait=2.2,
            )
        )
    cases += [
        reused(
            f"understand-{status}",
            "9111 5.2.2.3",
            f"{status} with must-understand and no-store",
            [cc("max-age=3600, no-store, must-understand")],
            status=status,
        )
        for status in (200, 203, 204, 301, 302, 303, 307, 308, 400, 404, 410, 500, 502, 503, 504)
    ]
    for status in (299, 499, 599):
        cases.append(
            asked_again(
                f"understand-{status}",
                "9111 5.2.2.3",
                f"must-understand forbids an unknown {status}",
                [cc("max-age=3600, must-understand")],
                status=status,
            )
        )
        cases.append(
            asked_again(
                f"understand-{status}-no-store",
                "9111 5.2.2.3",
                f"no-store holds for an unknown {status}",
                [cc("max-age=3600, no-store, must-understand")],
                status=status,
            )
        )
    return cases


def _authorization() -> list[Case]:
    auth = [("Authorization", "Bearer xyz")]

    def fill(id: str, level: str, title: str, directive: str, expect: str, section: str = "9111 3.5") -> Case:
        return case(
            f"auth-{id}",
            section,
            level,
            title,
            Step(send=auth, answer=[cc(directive)]),
            Step(send=auth, answer=[cc(directive)], expect=expect),
        )

    return [
        fill("plain", "required", "a response to Authorization is not shared", "max-age=3600", "origin"),
        fill("public", "optimal", "public allows it", "max-age=3600, public", "cached"),
        fill(
            "must-revalidate",
            "optimal",
            "must-revalidate allows it",
            "max-age=3600, must-revalidate",
            "cached",
        ),
        fill("s-maxage", "optimal", "s-maxage allows it", "s-maxage=3600", "cached"),
        fill(
            "no-store",
            "required",
            "public does not outdo no-store",
            "max-age=3600, public, no-store",
            "origin",
        ),
        case(
            "auth-other",
            "9111 3.5",
            "required",
            "nobody else gets it",
            Step(send=auth, answer=[HOUR]),
            Step(answer=[HOUR], expect="origin"),
        ),
        case(
            "auth-shared",
            "9111 3.5",
            "optimal",
            "a request with Authorization gets what was stored without",
            Step(answer=[HOUR]),
            Step(send=auth, expect="cached"),
        ),
    ]


CASES = [*_RESPONSES, *_REQUESTS, *_statuses(), *_authorization()]
