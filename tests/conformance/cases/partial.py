"""Ranges and partial content (RFC 9110 section 14; RFC 9111 sections 3.3 and 3.4)."""

from __future__ import annotations

from tests.conformance.cases.build import HOUR, case
from tests.conformance.model import Answer, Case, Step

BODY = b"0123456789"
ETAG = ("ETag", '"abc"')


def _from_complete_ranged(
    id: str, title: str, value: str, body: bytes, content_range: str | None, level: str = "optimal"
) -> Case:
    status = 206 if content_range else 200
    return case(
        f"range-{id}",
        "9110 14.2",
        level,
        title,
        Step(answer=[HOUR, ETAG], body=BODY),
        Step(
            send=[("Range", value)],
            expect="cached",
            expect_status=status,
            expect_body=body,
            see=[("Content-Range", content_range)] if content_range else [],
        ),
    )


_FROM_COMPLETE: list[Case] = [
    _from_complete_ranged("first-last", "first and last", "bytes=2-4", b"234", "bytes 2-4/10"),
    _from_complete_ranged("open", "from first on", "bytes=7-", b"789", "bytes 7-9/10"),
    _from_complete_ranged("suffix", "a suffix", "bytes=-3", b"789", "bytes 7-9/10"),
    _from_complete_ranged("beyond", "a last beyond the end", "bytes=5-99", b"56789", "bytes 5-9/10"),
    _from_complete_ranged("unit-case", "the unit ignores case", "Bytes=0-1", b"01", "bytes 0-1/10"),
    _from_complete_ranged("unit", "an unknown unit is ignored", "lines=1-2", BODY, None, "required"),
    _from_complete_ranged("malformed", "a malformed range is ignored", "bytes=x-y", BODY, None, "required"),
    case(
        "range-unsatisfiable",
        "9110 15.5.17",
        "optimal",
        "a range outside is answered 416",
        Step(answer=[HOUR, ETAG], body=BODY),
        Step(
            send=[("Range", "bytes=50-60")],
            expect="cached",
            expect_status=416,
            see=[("Content-Range", "bytes */10")],
        ),
    ),
    case(
        "range-if-range",
        "9110 13.1.5",
        "optimal",
        "If-Range with the stored tag",
        Step(answer=[HOUR, ETAG], body=BODY),
        Step(
            send=[("Range", "bytes=0-1"), ("If-Range", '"abc"')],
            expect="cached",
            expect_status=206,
            expect_body=b"01",
        ),
    ),
    case(
        "range-if-range-other",
        "9110 13.1.5",
        "required",
        "If-Range with another tag gets everything",
        Step(answer=[HOUR, ETAG], body=BODY),
        Step(
            send=[("Range", "bytes=0-1"), ("If-Range", '"zzz"')],
            expect_status=200,
            expect_body=BODY,
            answer=[HOUR, ETAG],
            body=BODY,
        ),
    ),
    case(
        "range-if-range-weak",
        "9110 13.1.5",
        "required",
        "a weak tag is no condition for a range",
        Step(answer=[HOUR, ("ETag", 'W/"abc"')], body=BODY),
        Step(
            send=[("Range", "bytes=0-1"), ("If-Range", 'W/"abc"')],
            expect_status=200,
            expect_body=BODY,
            answer=[HOUR],
            body=BODY,
        ),
    ),
    case(
        "range-head",
        "9110 14.2",
        "required",
        "Range is for GET alone",
        Step(answer=[HOUR, ETAG], body=BODY),
        Step(method="HEAD", send=[("Range", "bytes=0-1")], expect="cached", expect_status=200),
    ),
    case(
        "range-304",
        "9110 13.2.2",
        "required",
        "a condition goes before a range",
        Step(answer=[HOUR, ETAG], body=BODY),
        Step(send=[("Range", "bytes=0-1"), ("If-None-Match", '"abc"')], expect="cached", expect_status=304),
    ),
]


_STORED_PARTS_PART = [HOUR, ETAG, ("Content-Range", "bytes 0-4/10")]
_STORED_PARTS_MIDDLE = [HOUR, ETAG, ("Content-Range", "bytes 2-6/10")]
_STORED_PARTS: list[Case] = [
    case(
        "part-not-whole",
        "9111 3.3",
        "required",
        "a part does not answer a request for the whole",
        Step(send=[("Range", "bytes=0-4")], status=206, answer=_STORED_PARTS_PART, body=BODY[:5]),
        Step(answer=[HOUR, ETAG], body=BODY, expect_status=200, expect_body=BODY),
    ),
    case(
        "part-same",
        "9111 3.3",
        "optimal",
        "a part answers the same range",
        Step(send=[("Range", "bytes=0-4")], status=206, answer=_STORED_PARTS_PART, body=BODY[:5]),
        Step(send=[("Range", "bytes=0-4")], expect="cached", expect_status=206, expect_body=BODY[:5]),
    ),
    case(
        "part-within",
        "9111 3.3",
        "optimal",
        "a part answers a range within it",
        Step(send=[("Range", "bytes=2-6")], status=206, answer=_STORED_PARTS_MIDDLE, body=BODY[2:7]),
        Step(
            send=[("Range", "bytes=3-4")],
            expect="cached",
            expect_status=206,
            expect_body=b"34",
            see=[("Content-Range", "bytes 3-4/10")],
        ),
    ),
    case(
        "part-beyond",
        "9111 3.3",
        "required",
        "a part does not answer a range beyond it",
        Step(send=[("Range", "bytes=0-4")], status=206, answer=_STORED_PARTS_PART, body=BODY[:5]),
        Step(
            send=[("Range", "bytes=3-8")],
            status=206,
            answer=[HOUR, ETAG, ("Content-Range", "bytes 3-8/10")],
            body=BODY[3:9],
            expect_status=206,
            expect_body=BODY[3:9],
        ),
    ),
    case(
        "part-suffix",
        "9111 3.3",
        "optimal",
        "a part answers a suffix it has",
        Step(
            send=[("Range", "bytes=5-9")],
            status=206,
            answer=[HOUR, ETAG, ("Content-Range", "bytes 5-9/10")],
            body=BODY[5:],
        ),
        Step(send=[("Range", "bytes=-2")], expect="cached", expect_status=206, expect_body=b"89"),
    ),
    case(
        "part-completes",
        "9111 3.4",
        "optimal",
        "a part is completed by the range that is missing",
        Step(send=[("Range", "bytes=0-4")], status=206, answer=_STORED_PARTS_PART, body=BODY[:5]),
        Step(
            status=206,
            answer=[HOUR, ETAG, ("Content-Range", "bytes 5-9/10")],
            body=BODY[5:],
            sent=[("Range", "bytes=5-")],
            expect_status=200,
            expect_body=BODY,
        ),
        Step(expect="cached", expect_status=200, expect_body=BODY),
    ),
    case(
        "part-completes-fields",
        "9111 3.4",
        "required",
        "a completed response has the newer fields",
        Step(
            send=[("Range", "bytes=0-4")],
            status=206,
            answer=[*_STORED_PARTS_PART, ("A", "1"), ("B", "1")],
            body=BODY[:5],
        ),
        Step(
            status=206,
            answer=[HOUR, ETAG, ("Content-Range", "bytes 5-9/10"), ("A", "2")],
            body=BODY[5:],
            see=[("A", "2"), ("B", "1")],
            expect_status=200,
            unseen=["content-range"],
        ),
    ),
    case(
        "part-keeps-whole",
        "9111 3.3",
        "required",
        "a part does not replace a stored whole",
        Step(answer=[HOUR, ETAG], body=BODY),
        Step(
            send=[("Range", "bytes=0-4"), ("Cache-Control", "no-cache")],
            status=206,
            answer=_STORED_PARTS_PART,
            body=BODY[:5],
        ),
        Step(expect_status=200, expect_body=BODY, answer=[HOUR, ETAG], body=BODY),
    ),
    case(
        "part-incomplete",
        "9111 3.3",
        "required",
        "a response that breaks off is not used as a whole",
        Step(answer=[HOUR, ETAG, ("Content-Length", "10")], body=BODY, short=5, broken=True),
        Step(answer=[HOUR, ETAG], body=BODY, expect_status=200, expect_body=BODY),
    ),
    case(
        "part-multipart",
        "9111 3.3",
        "required",
        "a multipart 206 is no whole",
        Step(
            send=[("Range", "bytes=0-1,4-5")],
            status=206,
            body=b"--x\r\n",
            answer=[HOUR, ETAG, ("Content-Type", "multipart/byteranges; boundary=x")],
        ),
        Step(answer=[HOUR, ETAG], body=BODY, expect="origin", expect_body=BODY),
    ),
]


def _several(answer: Answer) -> str:
    """The parts of a multipart answer to ``bytes=0-1,5-6``, read by their own Content-Range."""
    kind = answer.get("content-type") or ""
    _, _, boundary = kind.partition("boundary=")
    if not kind.startswith("multipart/byteranges;") or not boundary:
        return f"Content-Type is {kind!r}"
    pieces = answer.body.split(b"--" + boundary.encode())[1:-1]
    heads = [piece.strip(b"\r\n").partition(b"\r\n\r\n")[0].lower() for piece in pieces]
    bodies = [piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in pieces]
    if bodies != [b"01", b"56"]:
        return f"parts are {bodies!r}"
    spans = [f"content-range: bytes {span}/10".encode() for span in ("0-1", "5-6")]
    return (
        "" if all(span in head for span, head in zip(spans, heads, strict=True)) else f"heads are {heads!r}"
    )


_JOINED: list[Case] = [
    case(
        "range-several",
        "9110 14.6",
        "optimal",
        "several ranges of a stored whole",
        Step(answer=[HOUR, ETAG, ("Content-Type", "text/plain")], body=BODY),
        Step(
            send=[("Range", "bytes=0-1,5-6")],
            expect="cached",
            expect_status=206,
            unseen=["content-range"],
            check=_several,
        ),
    ),
    case(
        "range-several-one",
        "9110 15.3.7.2",
        "required",
        "of several ranges one lies within",
        Step(answer=[HOUR, ETAG], body=BODY),
        Step(
            send=[("Range", "bytes=0-1,50-60")],
            expect="cached",
            expect_status=206,
            expect_body=b"01",
            see=[("Content-Range", "bytes 0-1/10")],
        ),
    ),
    case(
        "range-several-all",
        "9110 14.2",
        "required",
        "ranges that come to everything are answered with the whole",
        Step(answer=[HOUR, ETAG], body=BODY),
        Step(send=[("Range", "bytes=0-6,3-9,2-3")], expect="cached", expect_status=206, expect_body=BODY),
    ),
    case(
        "range-several-many",
        "9110 14.2",
        "required",
        "a great many ranges are answered with the whole",
        Step(answer=[HOUR, ETAG], body=BODY),
        Step(
            send=[("Range", "bytes=" + ",".join(["0-0", "2-2"] * 200))],
            expect="cached",
            expect_status=200,
            expect_body=BODY,
        ),
    ),
    case(
        "part-joined",
        "9111 3.4",
        "optimal",
        "parts that touch answer a range across both",
        Step(
            send=[("Range", "bytes=2-4")],
            status=206,
            answer=[HOUR, ETAG, ("Content-Range", "bytes 2-4/10")],
            body=b"234",
        ),
        Step(
            send=[("Range", "bytes=5-7")],
            status=206,
            answer=[HOUR, ETAG, ("Content-Range", "bytes 5-7/10")],
            body=b"567",
        ),
        Step(
            send=[("Range", "bytes=3-6")],
            expect="cached",
            expect_status=206,
            expect_body=b"3456",
            see=[("Content-Range", "bytes 3-6/10")],
        ),
    ),
    case(
        "part-joined-whole",
        "9110 15.3.7.3",
        "optimal",
        "parts that come to everything answer a request for the whole",
        Step(
            send=[("Range", "bytes=-6")],
            status=206,
            answer=[HOUR, ETAG, ("Content-Range", "bytes 4-9/10")],
            body=b"456789",
        ),
        Step(
            send=[("Range", "bytes=0-5")],
            status=206,
            answer=[HOUR, ETAG, ("Content-Range", "bytes 0-5/10")],
            body=b"012345",
        ),
        Step(expect="cached", expect_status=200, expect_body=BODY, unseen=["content-range"]),
    ),
    case(
        "part-joined-other",
        "9110 15.3.7.3",
        "required",
        "parts of two versions are kept apart",
        Step(
            send=[("Range", "bytes=0-4")],
            status=206,
            answer=[HOUR, ETAG, ("Content-Range", "bytes 0-4/10")],
            body=b"01234",
        ),
        Step(
            send=[("Range", "bytes=5-9")],
            status=206,
            answer=[HOUR, ("ETag", '"xyz"'), ("Content-Range", "bytes 5-9/10")],
            body=b"vwxyz",
        ),
        Step(answer=[HOUR], body=b"entirely", expect="origin", expect_status=200, expect_body=b"entirely"),
    ),
    case(
        "part-joined-weak",
        "9110 15.3.7.3",
        "required",
        "parts with a weak tag are kept apart",
        Step(
            send=[("Range", "bytes=0-4")],
            status=206,
            answer=[HOUR, ("ETag", 'W/"a"'), ("Content-Range", "bytes 0-4/10")],
            body=b"01234",
        ),
        Step(
            send=[("Range", "bytes=5-9")],
            status=206,
            answer=[HOUR, ("ETag", 'W/"a"'), ("Content-Range", "bytes 5-9/10")],
            body=b"56789",
        ),
        Step(answer=[HOUR], body=b"entirely", expect="origin", expect_status=200, expect_body=b"entirely"),
    ),
    case(
        "part-end-completes",
        "9111 3.4",
        "optimal",
        "an end is completed by the beginning that is missing",
        Step(
            send=[("Range", "bytes=-5")],
            status=206,
            answer=[HOUR, ETAG, ("Content-Range", "bytes 5-9/10")],
            body=b"56789",
        ),
        Step(
            status=206,
            answer=[HOUR, ETAG, ("Content-Range", "bytes 0-4/10")],
            body=b"01234",
            sent=[("Range", "bytes=0-4"), ("If-Range", '"abc"')],
            expect_status=200,
            expect_body=BODY,
        ),
    ),
]

CASES = [*_JOINED, *_FROM_COMPLETE, *_STORED_PARTS]
