"""Methods, invalidation and HEAD (RFC 9111 sections 3, 4.3.5 and 4.4; RFC 9110 section 9)."""

from __future__ import annotations

from tests.conformance.cases.build import HOUR, asked_again, case
from tests.conformance.model import Case, Step

ETAG = ("ETag", '"abc"')
LM = ("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")


_STORING: list[Case] = [
    case(
        "method-head-hit",
        "9110 9.3.2",
        "optimal",
        "a stored GET answers HEAD",
        Step(answer=[HOUR, ("X", "1")]),
        Step(method="HEAD", expect="cached", see=[("X", "1")]),
    ),
    case(
        "method-head-length",
        "9110 9.3.2",
        "optimal",
        "a HEAD from the store keeps Content-Length",
        Step(answer=[HOUR], body=b"12345"),
        Step(method="HEAD", expect="cached", see=[("Content-Length", "5")]),
    ),
    case(
        "method-head-get",
        "9111 2",
        "required",
        "a HEAD response is not used for GET",
        Step(method="HEAD", answer=[HOUR]),
        Step(answer=[HOUR], expect="origin"),
    ),
    case(
        "method-post-get",
        "9111 2",
        "required",
        "a POST response is not used for GET",
        Step(method="POST", content=b"x", answer=[HOUR]),
        Step(answer=[HOUR], expect="origin"),
    ),
    case(
        "method-post-location",
        "9110 9.3.3",
        "optimal",
        "a POST response with Content-Location answers GET",
        Step(method="POST", content=b"x", answer=[HOUR, ("Content-Location", "/method-post-location")]),
        Step(expect="cached"),
    ),
    case(
        "method-post-elsewhere",
        "9110 9.3.3",
        "required",
        "Content-Location of another resource",
        Step(method="POST", content=b"x", answer=[HOUR, ("Content-Location", "/other")]),
        Step(answer=[HOUR], expect="origin"),
    ),
    case(
        "method-post-stale",
        "9110 9.3.3",
        "required",
        "a POST is never answered from the store",
        Step(answer=[HOUR]),
        Step(method="POST", content=b"x", answer=[HOUR], expect="origin"),
    ),
    *(
        case(
            f"method-{method.lower()}",
            "9111 2",
            "required",
            f"{method} is not answered from the store",
            Step(answer=[HOUR]),
            Step(method=method, answer=[HOUR], expect="origin"),
        )
        for method in ("PUT", "DELETE", "OPTIONS", "PATCH")
    ),
    case(
        "method-options-twice",
        "9110 9.3.7",
        "required",
        "an OPTIONS response is not stored",
        Step(method="OPTIONS", answer=[HOUR]),
        Step(method="OPTIONS", answer=[HOUR], expect="origin"),
    ),
    asked_again("method-body-post", "9111 3", "two POSTs both arrive", [HOUR], method="POST", content=b"x"),
]


_INVALIDATION = []
for _INVALIDATION_METHOD in ("POST", "PUT", "DELETE", "PATCH", "M-SEARCH"):
    _INVALIDATION_NAME = _INVALIDATION_METHOD.lower()
    _INVALIDATION += [
        case(
            f"invalidate-{_INVALIDATION_NAME}",
            "9111 4.4",
            "required",
            f"{_INVALIDATION_METHOD} invalidates its target",
            Step(answer=[HOUR]),
            Step(method=_INVALIDATION_METHOD),
            Step(answer=[HOUR], expect="origin"),
        ),
        case(
            f"invalidate-{_INVALIDATION_NAME}-error",
            "9111 4.4",
            "optimal",
            f"a failed {_INVALIDATION_METHOD} does not",
            Step(answer=[HOUR]),
            Step(method=_INVALIDATION_METHOD, status=500),
            Step(expect="cached"),
        ),
        case(
            f"invalidate-{_INVALIDATION_NAME}-redirect",
            "9111 4.4",
            "required",
            f"a redirected {_INVALIDATION_METHOD} does",
            Step(answer=[HOUR]),
            Step(method=_INVALIDATION_METHOD, status=303),
            Step(answer=[HOUR], expect="origin"),
        ),
    ]
    for _INVALIDATION_FIELD in ("Location", "Content-Location"):
        _INVALIDATION_ID = f"invalidate-{_INVALIDATION_NAME}-{_INVALIDATION_FIELD.lower()}"
        _INVALIDATION.append(
            case(
                _INVALIDATION_ID,
                "9111 4.4",
                "optimal",
                f"{_INVALIDATION_METHOD} invalidates what {_INVALIDATION_FIELD} names",
                Step(answer=[HOUR]),
                Step(
                    method=_INVALIDATION_METHOD,
                    path="/x",
                    answer=[(_INVALIDATION_FIELD, f"/{_INVALIDATION_ID}")],
                ),
                Step(answer=[HOUR], expect="origin"),
            )
        )
_INVALIDATION += [
    case(
        "invalidate-relative",
        "9111 4.4",
        "optimal",
        "a relative Location is resolved",
        Step(path="/a/b", answer=[HOUR]),
        Step(method="POST", path="/a/c", answer=[("Location", "b")]),
        Step(path="/a/b", answer=[HOUR], expect="origin"),
    ),
    case(
        "invalidate-other-host",
        "9111 4.4",
        "required",
        "a Location on another authority invalidates nothing",
        Step(answer=[HOUR]),
        Step(method="POST", path="/x", answer=[("Location", "http://other.example/invalidate-other-host")]),
        Step(expect="cached"),
    ),
    case(
        "invalidate-safe",
        "9111 4.4",
        "optimal",
        "a safe method invalidates nothing",
        Step(answer=[HOUR]),
        Step(method="OPTIONS"),
        Step(expect="cached"),
    ),
    case(
        "invalidate-query",
        "9111 4.4",
        "optimal",
        "another query is another target",
        Step(path="?a", answer=[HOUR]),
        Step(method="POST", path="?b"),
        Step(path="?a", expect="cached"),
    ),
    case(
        "invalidate-vary",
        "9111 4.4",
        "required",
        "every variant of the target goes",
        Step(send=[("Foo", "1")], answer=[HOUR, ("Vary", "Foo")]),
        Step(send=[("Foo", "2")], answer=[HOUR, ("Vary", "Foo")]),
        Step(method="POST"),
        Step(send=[("Foo", "1")], answer=[HOUR, ("Vary", "Foo")], expect="origin"),
        Step(send=[("Foo", "2")], answer=[HOUR, ("Vary", "Foo")], expect="origin"),
    ),
    case(
        "invalidate-store",
        "9111 4.4",
        "optimal",
        "what is fetched after it is stored again",
        Step(answer=[HOUR]),
        Step(method="POST"),
        Step(answer=[HOUR], expect="origin"),
        Step(expect="cached", from_step=3),
    ),
]


_HEAD_SHORT = ("Cache-Control", "max-age=1")
_HEAD: list[Case] = [
    case(
        "head-updates",
        "9111 4.3.5",
        "optimal",
        "a HEAD freshens a stored GET",
        Step(answer=[_HEAD_SHORT, ETAG, ("X", "1")], body=b"12345", wait=2.2),
        Step(method="HEAD", answer=[HOUR, ETAG, ("X", "2")], body=b"12345"),
        Step(expect="cached", expect_body=b"12345", see=[("X", "2")]),
    ),
    case(
        "head-writethrough",
        "9111 4.3.5",
        "required",
        "a HEAD that finds nothing stored changes nothing",
        Step(method="HEAD", answer=[HOUR]),
        Step(answer=[HOUR], expect="origin"),
        Step(expect="cached", from_step=2),
    ),
    case(
        "head-etag-differs",
        "9111 4.3.5",
        "optimal",
        "a HEAD with another ETag outdates a stored GET",
        Step(answer=[HOUR, ETAG]),
        Step(
            method="HEAD",
            send=[("Cache-Control", "no-cache")],
            status=200,
            answer=[HOUR, ("ETag", '"other"')],
        ),
        Step(answer=[HOUR, ("ETag", '"other"')], expect="origin"),
    ),
    case(
        "head-length-differs",
        "9111 4.3.5",
        "optimal",
        "a HEAD with another length outdates a stored GET",
        Step(answer=[_HEAD_SHORT, ETAG], body=b"12345", wait=2.2),
        Step(method="HEAD", answer=[HOUR, ETAG, ("Content-Length", "10")]),
        Step(answer=[HOUR, ETAG], status=200, expect="origin"),
    ),
    case(
        "head-410",
        "9111 4.3.5",
        "optimal",
        "a HEAD with 410 outdates a stored GET",
        Step(answer=[HOUR, LM]),
        Step(method="HEAD", send=[("Cache-Control", "no-cache")], status=410, answer=[HOUR]),
        Step(answer=[HOUR], expect="origin"),
    ),
]


CASES = [*_STORING, *_INVALIDATION, *_HEAD]
