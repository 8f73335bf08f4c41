"""Serving stale (RFC 9111 section 4.2.4; RFC 5861), and how responses end (RFC 9112 sections 6 and 8)."""

from __future__ import annotations

from tests.conformance.cases.build import HOUR, asked_again, case
from tests.conformance.model import Case, Step

ETAG = ("ETag", '"abc"')


def cc(value: str) -> tuple[str, str]:
    return ("Cache-Control", value)


_FAILING = []
for _FAILING_HOW, _FAILING_FAILURE in (("503", {"status": 503}), ("close", {"close": True})):
    _FAILING_WRONG = {"expect_status": 503} if _FAILING_HOW == "503" else {"expect_status": 502}
    _FAILING += [
        case(
            f"stale-{_FAILING_HOW}-{name.replace('=', '-')}",
            "9111 4.2.4",
            "required",
            f"{_FAILING_HOW} with {name}: no stale answer",
            Step(answer=[cc(f"max-age=1, {name}")], wait=2.2),
            Step(**_FAILING_FAILURE, **_FAILING_WRONG),
        )
        for name in ("must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=1")
    ]
    _FAILING += [
        case(
            f"stale-{_FAILING_HOW}",
            "9111 4.2.4",
            "optimal",
            f"{_FAILING_HOW}: a stale answer",
            Step(answer=[cc("max-age=1")], wait=2.2),
            Step(**_FAILING_FAILURE, expect_status=200, from_step=1),
        ),
        case(
            f"stale-{_FAILING_HOW}-etag",
            "9111 4.3.3",
            "optimal",
            f"{_FAILING_HOW} to a validation: a stale answer",
            Step(answer=[cc("max-age=1"), ETAG], wait=2.2),
            Step(**_FAILING_FAILURE, expect_status=200, from_step=1),
        ),
        case(
            f"stale-{_FAILING_HOW}-sie",
            "5861 4",
            "optimal",
            f"{_FAILING_HOW} with stale-if-error",
            Step(answer=[cc("max-age=1, stale-if-error=60")], wait=2.2),
            Step(**_FAILING_FAILURE, expect_status=200, from_step=1),
        ),
    ]
_FAILING += [
    case(
        f"stale-close-etag-{name.replace('=', '-')}",
        "9111 5.2.2.2",
        "optimal",
        f"close to a validation with {name}: 504",
        Step(answer=[cc(f"max-age=1, {name}"), ETAG], wait=2.2),
        Step(close=True, expect_status=504),
    )
    for name in ("must-revalidate", "proxy-revalidate", "s-maxage=1")
]
_FAILING += [
    case(
        "stale-404",
        "9111 4.3.3",
        "required",
        "a 404 is an answer, not a failure",
        Step(answer=[cc("max-age=1")], wait=2.2),
        Step(status=404, expect_status=404),
    ),
    case(
        "stale-age",
        "9111 5.1",
        "required",
        "a stale answer shows its age",
        Step(answer=[cc("max-age=1")], wait=2.2),
        Step(status=503, expect_status=200, check=lambda a: "" if int(a.get("age") or 0) >= 2 else "no age"),
    ),
]


_WHILE_REVALIDATE_SWR = [cc("max-age=1, stale-while-revalidate=60")]
_WHILE_REVALIDATE: list[Case] = [
    case(
        "swr-serves",
        "5861 3",
        "optimal",
        "stale-while-revalidate serves stale",
        Step(answer=_WHILE_REVALIDATE_SWR, wait=2.2),
        Step(answer=_WHILE_REVALIDATE_SWR, from_step=1, expect_status=200),
    ),
    case(
        "swr-refreshes",
        "5861 3",
        "optimal",
        "and gets a new response meanwhile",
        Step(answer=_WHILE_REVALIDATE_SWR, wait=2.2),
        Step(answer=[HOUR], from_step=1, expect_status=200, wait=1.0),
        Step(expect="cached", from_step=2),
    ),
    asked_again(
        "swr-window",
        "5861 3",
        "outside its window it does not",
        [cc("max-age=1, stale-while-revalidate=1")],
        wait=3.5,
    ),
    asked_again(
        "swr-must-revalidate",
        "9111 5.2.2.2",
        "must-revalidate forbids it",
        [cc("max-age=1, must-revalidate, stale-while-revalidate=60")],
        wait=2.2,
    ),
    case(
        "swr-etag",
        "5861 3",
        "optimal",
        "the new response may be a 304",
        Step(answer=[*_WHILE_REVALIDATE_SWR, ETAG], wait=2.2),
        Step(answer=[HOUR, ETAG], status=304, from_step=1, expect_status=200, wait=1.0),
        Step(expect="cached", from_step=1),
    ),
]


_FRAMING: list[Case] = [
    case(
        "framing-chunked",
        "9111 3",
        "optimal",
        "a chunked response is stored before its end is sent",
        Step(answer=[HOUR], framing="chunked"),
        Step(expect="cached"),
    ),
    case(
        "framing-close",
        "9111 3",
        "optimal",
        "a response ended by its connection is stored",
        Step(answer=[HOUR], framing="close"),
        Step(expect="cached"),
    ),
    case(
        "framing-short",
        "9112 8",
        "required",
        "a short response breaks at the client and is not stored",
        Step(answer=[HOUR, ("Content-Length", "100")], short=5, broken=True),
        Step(answer=[HOUR], expect="origin"),
    ),
    case(
        "framing-extra",
        "9112 6.3",
        "required",
        "bytes after a response are no response",
        Step(
            answer=[HOUR],
            extra=b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: max-age=3600\r\n\r\nevil",
        ),
        Step(path="?other", answer=[HOUR], expect="origin"),
    ),
    case(
        "framing-empty",
        "9111 3",
        "optimal",
        "an empty body is stored",
        Step(answer=[HOUR], body=b""),
        Step(expect="cached", expect_body=b""),
    ),
    case(
        "interim-103",
        "9110 15.2",
        "required",
        "a 103 is passed on, with its fields, before the response",
        Step(
            answer=[HOUR],
            interim=[(103, [("Link", "</a>; rel=preload"), ("Connection", "x"), ("X", "1")])],
            expect="origin",
            check=lambda a: "" if a.interim == [(103, [("link", "</a>; rel=preload")])] else f"{a.interim}",
        ),
        Step(expect="cached", check=lambda a: "an old 103 was sent" if a.interim else ""),
    ),
    case(
        "interim-102",
        "9110 15.2",
        "required",
        "every informational response is passed on",
        Step(
            answer=[HOUR],
            interim=[(102, []), (103, [("Link", "</a>")]), (103, [("Link", "</b>")])],
            expect="origin",
            check=lambda a: "" if [status for status, _ in a.interim] == [102, 103, 103] else f"{a.interim}",
        ),
        Step(expect="cached"),
    ),
    case(
        "interim-no-store",
        "9110 15.2",
        "required",
        "fields of a 103 are not those of the response",
        Step(answer=[cc("no-store")], interim=[(103, [HOUR])], expect="origin"),
        Step(answer=[], expect="origin"),
    ),
    case(
        "interim-not-stored",
        "9111 3",
        "required",
        "fields of a 103 are not stored",
        Step(answer=[HOUR], interim=[(103, [("X-Early", "1")])]),
        Step(expect="cached", unseen=["x-early"]),
    ),
]


CASES = [*_FAILING, *_WHILE_REVALIDATE, *_FRAMING]
