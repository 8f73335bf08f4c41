"""What the sections say beside their main point: forms of tags, odd arguments, what changes nothing."""

from __future__ import annotations

from tests.conformance.cases.build import HOUR, asked_again, case, reused
from tests.conformance.model import Answer, Case, Level, Pair, Step, at

ETAG = ("ETag", '"abc"')
NONE_MATCH = "If-None-Match"
MODIFIED = "If-Modified-Since"
BODY = b"0123456789"


def cc(value: str) -> Pair:
    return ("Cache-Control", value)


def _tags() -> list[Case]:
    forms = [
        ("unquoted-sent", '"abc"', "abc"),
        ("unquoted-stored", "abc", '"abc"'),
        ("single-quoted", '"abc"', "'abc'"),
        ("half-quoted", '"abc"', '"abc'),
        ("empty-sent", '"abc"', '""'),
        ("weak-unquoted", 'W/"abc"', "W/abc"),
        ("spaced-weak", 'W/"abc"', 'W/ "abc"'),
    ]
    return [
        case(
            f"tag-{id}",
            "9110 8.8.3",
            "required",
            f"{sent} is not {stored}",
            Step(answer=[HOUR, ("ETag", stored)]),
            Step(send=[(NONE_MATCH, sent)], answer=[HOUR], expect_status=200),
        )
        for id, stored, sent in forms
    ]


_TAGS: list[Case] = [
    *_tags(),
    case(
        "tag-empty",
        "9110 8.8.3",
        "optimal",
        "an empty tag is a tag",
        Step(answer=[HOUR, ("ETag", '""')]),
        Step(send=[(NONE_MATCH, '""')], expect="cached", expect_status=304),
    ),
    case(
        "tag-lines",
        "9110 5.3",
        "optimal",
        "If-None-Match in two lines is one list",
        Step(answer=[HOUR, ETAG]),
        Step(send=[(NONE_MATCH, '"x"'), (NONE_MATCH, '"abc"')], expect="cached", expect_status=304),
    ),
    case(
        "tag-head",
        "9110 13.1.2",
        "optimal",
        "a HEAD has conditions too",
        Step(answer=[HOUR, ETAG]),
        Step(method="HEAD", send=[(NONE_MATCH, '"abc"')], expect="cached", expect_status=304),
    ),
    case(
        "condition-post",
        "9110 13.1.3",
        "required",
        "If-Modified-Since is for GET and HEAD alone",
        Step(answer=[HOUR, ("Last-Modified", at(-1000))]),
        Step(method="POST", send=[(MODIFIED, at(0))], answer=[], expect="origin", expect_status=200),
    ),
    case(
        "condition-passes-304",
        "9111 4.3.2",
        "required",
        "a 304 to a client's own condition is stored as nothing",
        Step(send=[(NONE_MATCH, '"x"')], status=304, answer=[HOUR, ("ETag", '"x"')], expect_status=304),
        Step(answer=[HOUR], expect="origin"),
    ),
    case(
        "condition-no-validator",
        "9111 4.3.1",
        "required",
        "a stale response without a validator leaves the client its condition",
        Step(answer=[cc("max-age=1")], wait=2.2),
        Step(send=[(NONE_MATCH, '"x"')], sent=[(NONE_MATCH, '"x"')], answer=[HOUR], expect_status=200),
    ),
    case(
        "condition-stored-200",
        "9111 4.3.3",
        "optimal",
        "a 200 to a client's condition is stored",
        Step(send=[(NONE_MATCH, '"x"')], answer=[HOUR, ETAG], expect_status=200),
        Step(expect="cached"),
    ),
]


def _arguments() -> list[Case]:
    wrong = ["max-age=60, max-age=abc", "max-age=60;foo", "max-age=60 foo", "max-age=0x3c", "max-age=1e3"]
    wrong += ["s-maxage=abc, max-age=3600", "max-age=-0"]
    found = [
        asked_again(f"argument-{number}", "9111 4.2.1", f"an invalid argument is stale: {value}", [cc(value)])
        for number, value in enumerate(wrong)
    ]
    fine = [
        'max-age=3600, foo="bar, max-age=0"',
        "foo, max-age=3600,",
        ",max-age=3600",
        "max-age=3600 ,public",
    ]
    fine += ['max-age="3600", public', "max-age=3600, =", 'max-age=3600, x="\\""']
    return found + [
        reused(f"argument-fine-{number}", "9110 5.6.1", f"{value} is read", [cc(value)])
        for number, value in enumerate(fine)
    ]


def _requests() -> list[Case]:
    """Request directives in odd forms: what can not be read asks for the least reuse, or for nothing."""
    rows: list[tuple[str, str, str, Level]] = [
        ("no-cache-lines", "no-cache", "origin", "required"),
        ("max-age-0-quoted", 'max-age="0"', "origin", "optimal"),
        ("max-age-upper", "MAX-AGE=0", "origin", "required"),
        ("max-age-bad", "max-age=abc", "origin", "optimal"),
        ("min-fresh-bad", "min-fresh=abc", "cached", "optimal"),
        ("max-stale-bad", "max-stale=abc", "cached", "optimal"),
        ("s-maxage", "s-maxage=0", "cached", "optimal"),
        ("must-revalidate", "must-revalidate", "cached", "optimal"),
        ("private", "private", "cached", "optimal"),
        ("no-transform", "no-transform", "cached", "optimal"),
    ]
    return [
        case(
            f"asks-{id}",
            "9111 5.2.1",
            level,
            f"a request with {value}",
            Step(answer=[HOUR]),
            Step(send=[("Cache-Control", "foo"), ("Cache-Control", value)], answer=[HOUR], expect=expect),  # type: ignore[arg-type]
        )
        for id, value, expect, level in rows
    ]


_NOTHING_CHANGES: list[Case] = [
    reused(
        "content-disposition",
        "9111 3",
        "an attachment",
        [HOUR, ("Content-Disposition", "attachment; filename=a")],
    ),
    reused(
        "content-disposition-heuristic",
        "9111 4.2.2",
        "an attachment, by heuristic",
        [("Content-Disposition", "attachment"), ("Last-Modified", at(-100_000))],
    ),
    reused(
        "content-location", "9111 4", "another Content-Location", [HOUR, ("Content-Location", "/elsewhere")]
    ),
    reused("redirection", "9110 15.4.2", "a redirection", [HOUR, ("Location", "/elsewhere")], status=301),
    reused("refresh", "9111 3", "Refresh", [HOUR, ("Refresh", "5; url=/x")]),
    reused("digest", "9530 2", "a digest", [HOUR, ("Repr-Digest", "sha-256=:AAAA:")]),
    reused("accept-ranges", "9110 14.3", "Accept-Ranges: none", [HOUR, ("Accept-Ranges", "none")]),
    reused(
        "connection-close", "9112 9.6", "a response that ends its connection", [HOUR, ("Connection", "close")]
    ),
    reused("vary-empty", "9110 12.5.5", "an empty Vary", [HOUR, ("Vary", "")]),
    reused("vary-commas", "9110 5.6.1", "a Vary of commas", [HOUR, ("Vary", ", ,")]),
    reused("expires-far", "9111 5.3", "Expires far ahead", [("Expires", "Fri, 31 Dec 9999 23:59:59 GMT")]),
    reused("immutable-alone", "8246 2", "immutable with a lifetime", [cc("immutable, max-age=3600")]),
]


def _same_twice(name: str) -> Step:
    return Step(expect="cached", check=lambda a: "" if len(a.all(name)) == 1 else f"{a.all(name)}")


_AFTERWARDS: list[Case] = [
    case(
        "date-once",
        "9110 6.6.1",
        "required",
        "a Date is not made anew on a hit",
        Step(answer=[HOUR, ("Date", at(-100))], date=False),
        _same_twice("date"),
    ),
    case(
        "expires-kept",
        "9111 5.3",
        "required",
        "Expires is not moved on a hit",
        Step(answer=[("Expires", "Thu, 18 Aug 2050 02:01:18 GMT")], wait=1.2),
        Step(expect="cached", see=[("Expires", "Thu, 18 Aug 2050 02:01:18 GMT")]),
    ),
    case(
        "age-grows",
        "9111 5.1",
        "required",
        "Age grows while a response is stored",
        Step(answer=[HOUR, ("Age", "100")], wait=2.2),
        Step(
            expect="cached",
            check=lambda a: "" if 102 <= int(a.get("age") or 0) <= 105 else f"Age is {a.get('age')}",
        ),
    ),
    case(
        "age-forwarded",
        "9111 5.1",
        "required",
        "the Age of an answer from the origin stays its own",
        Step(answer=[cc("no-store"), ("Age", "100")], expect="origin", see=[("Age", "100")]),
    ),
    case(
        "age-too-old",
        "9111 4.2",
        "required",
        "what arrives older than its lifetime is not used",
        Step(answer=[cc("max-age=60"), ("Age", "61")]),
        Step(answer=[HOUR], expect="origin"),
    ),
    case(
        "future-date",
        "9111 4.2.3",
        "optimal",
        "a Date ahead of time is no age",
        Step(answer=[HOUR, ("Date", at(600))], date=False),
        Step(expect="cached", see=[("Age", "0")]),
    ),
    case(
        "416-range",
        "9110 15.5.17",
        "required",
        "that a range lies outside is no answer to other requests",
        Step(send=[("Range", "bytes=100-")], status=416, answer=[HOUR, ("Content-Range", "bytes */10")]),
        Step(answer=[HOUR], body=BODY, expect="origin", expect_status=200),
    ),
    case(
        "412-condition",
        "9110 13.1.1",
        "required",
        "that a condition failed is no answer to other requests",
        Step(send=[("If-Match", '"x"')], status=412, answer=[HOUR], expect_status=412),
        Step(answer=[HOUR], expect="origin", expect_status=200),
    ),
    case(
        "200-to-range",
        "9110 14.2",
        "optimal",
        "a whole that came for a range answers requests for the whole",
        Step(send=[("Range", "bytes=0-3")], answer=[HOUR, ETAG], body=BODY, expect_status=200),
        Step(expect="cached", expect_status=200, expect_body=BODY),
    ),
    case(
        "206-unasked",
        "9110 15.3.7",
        "required",
        "a 206 without Content-Range is not stored",
        Step(send=[("Range", "bytes=0-3")], status=206, answer=[HOUR, ETAG], body=BODY[:4]),
        Step(answer=[HOUR], body=BODY, expect="origin", expect_status=200, expect_body=BODY),
    ),
    case(
        "vary-then-not",
        "9111 4.1",
        "optimal",
        "of a response that varies and a later one that does not the later is used",
        Step(send=[("Foo", "1")], answer=[HOUR, ("Vary", "Foo"), ("Date", at(-10))], date=False),
        Step(send=[("Foo", "2")], answer=[HOUR], expect="origin"),
        Step(send=[("Foo", "1")], expect="cached", from_step=2),
    ),
    case(
        "vary-absent-empty",
        "9111 4.1",
        "required",
        "a field that is not there differs from one with a value",
        Step(answer=[HOUR, ("Vary", "Foo")]),
        Step(send=[("Foo", "1")], answer=[HOUR, ("Vary", "Foo")], expect="origin"),
        Step(expect="cached", from_step=1),
    ),
    case(
        "vary-case-of-values",
        "9111 4.1",
        "required",
        "values of a field that is not known keep their case",
        Step(send=[("Foo", "Bar")], answer=[HOUR, ("Vary", "Foo")]),
        Step(send=[("Foo", "bar")], answer=[HOUR, ("Vary", "Foo")], expect="origin"),
    ),
    case(
        "vary-nominated",
        "9110 7.6.1",
        "required",
        "naming Vary in Connection does not take it away",
        Step(send=[("Foo", "1")], answer=[HOUR, ("Vary", "Foo"), ("Connection", "Vary")]),
        Step(send=[("Foo", "2")], answer=[HOUR], expect="origin"),
    ),
    case(
        "swr-error",
        "5861 3",
        "optimal",
        "a validation that fails leaves the stale response in its window",
        Step(answer=[cc("max-age=1, stale-while-revalidate=60")], wait=2.2),
        Step(status=503, answer=[], from_step=1, expect_status=200, wait=1.0),
        Step(answer=[HOUR], from_step=1, expect_status=200),
    ),
    case(
        "sie-window",
        "5861 4",
        "required",
        "outside its window and any other an error is passed on",
        Step(answer=[cc("max-age=1, stale-if-error=1"), ("Age", "0"), ("Date", at(-3600))], date=False),
        Step(status=503, answer=[], expect_status=503),
    ),
    case(
        "trailers-stored-without",
        "9111 3.1",
        "optimal",
        "Trailer is not stored where trailers are not",
        Step(answer=[HOUR, ("Trailer", "X-Sum")], framing="chunked"),
        Step(expect="cached", unseen=["trailer", "x-sum"]),
    ),
    case(
        "port-default",
        "9110 4.2.3",
        "optimal",
        "the port that goes without saying is none",
        Step(send=[("Host", "a.example:80")], answer=[HOUR]),
        Step(send=[("Host", "a.example")], expect="cached"),
    ),
    case(
        "port-other",
        "9110 4.3.1",
        "required",
        "another port is another origin",
        Step(send=[("Host", "a.example")], answer=[HOUR]),
        Step(send=[("Host", "a.example:81")], answer=[HOUR], expect="origin"),
    ),
    case(
        "unknown-method",
        "9111 4.4",
        "required",
        "a method that nobody knows invalidates",
        Step(answer=[HOUR]),
        Step(method="FOOBAR", answer=[], expect="origin"),
        Step(answer=[HOUR], expect="origin"),
    ),
    case(
        "trace-safe",
        "9110 9.2.1",
        "required",
        "TRACE invalidates nothing",
        Step(answer=[HOUR]),
        Step(method="TRACE", answer=[], expect="origin"),
        Step(expect="cached", from_step=1),
    ),
    case(
        "surrogate",
        "9213 2.2",
        "optimal",
        "Surrogate-Control is for this cache",
        Step(answer=[cc("no-cache"), ("Surrogate-Control", "max-age=3600")]),
        Step(expect="cached", see=[("Cache-Control", "no-cache")]),
    ),
    case(
        "surrogate-after-cdn",
        "9213 2.2",
        "optimal",
        "the more particular field goes first",
        Step(answer=[("CDN-Cache-Control", "max-age=3600"), ("Surrogate-Control", "max-age=0")]),
        Step(expect="cached"),
    ),
    case(
        "cdn-swr",
        "9213 2.1",
        "optimal",
        "stale-while-revalidate of a targeted field",
        Step(answer=[("CDN-Cache-Control", "max-age=1, stale-while-revalidate=60")], wait=2.2),
        Step(answer=[HOUR], from_step=1, expect_status=200),
    ),
    case(
        "cdn-names",
        "9213 2.1",
        "required",
        "a list of field names in a targeted field",
        Step(answer=[("CDN-Cache-Control", 'max-age=3600, private=("a" "b")'), ("A", "1"), ("C", "3")]),
        Step(expect="cached", unseen=["a"], see=[("C", "3")]),
    ),
]


def _interim(answer: Answer) -> str:
    wanted = [(102, []), (103, [("link", "</a>")]), (103, [("link", "</b>")]), (199, [("x", "1")])]
    return "" if answer.interim == wanted else f"{answer.interim}"


_AFTERWARDS += [
    case(
        "interim-several",
        "9110 15.2",
        "required",
        "several informational responses come in their order",
        Step(
            answer=[HOUR],
            interim=[(102, []), (103, [("Link", "</a>")]), (103, [("Link", "</b>")]), (199, [("X", "1")])],
            expect="origin",
            check=_interim,
        ),
        Step(expect="cached"),
    )
]

CASES = [*_TAGS, *_arguments(), *_requests(), *_NOTHING_CHANGES, *_AFTERWARDS]
