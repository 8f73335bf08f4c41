"""Byte ranges out of a stored response (RFC 9110 section 14), and parts put together (section 15.3.7.3)."""

from __future__ import annotations

import re

from perfmw.http.dates import parse_date
from perfmw.http.messages import Request, StoredResponse

# bounded digits, members and length: a hostile Range costs one failed match
_SPEC = rb"[ \t]*(?:[0-9]{1,18}-(?:[0-9]{1,18})?|-[0-9]{1,18})[ \t]*"
_RANGES = re.compile(rb"bytes=%b(?:,%b){0,15}" % (_SPEC, _SPEC), re.IGNORECASE)
_CONTENT_RANGE = re.compile(rb"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.IGNORECASE)
_LONGEST = 512

Span = tuple[int, int]


def parse_ranges(value: bytes, length: int) -> list[Span] | None:
    """(first, last) of each range, clipped to ``length`` bytes, in the order asked for.

    Ranges that touch or overlap become one (RFC 9110 section 15.3.7.2).

    :return: empty when all of them lie outside (416); None when the field is to be ignored: another unit,
        malformed, more than 16 ranges, or several that come to no less than everything (section 14.2).
    """
    if len(value) > _LONGEST or not _RANGES.fullmatch(value):
        return None
    spans: list[Span] = []
    for member in value[len(b"bytes=") :].split(b","):
        first, last = _span(member.strip(b" \t"), length)
        if first < 0:
            return None
        if first <= last:
            _add(spans, (first, last))
    if len(spans) > 1 and sum(last + 1 - first for first, last in spans) >= length:
        return None
    return spans


def _span(member: bytes, length: int) -> Span:
    """One range; (0, -1) lies outside, (-1, -1) is malformed."""
    start, _, end = member.partition(b"-")
    if not start:
        return (max(0, length - int(end)), length - 1) if int(end) else (0, -1)
    first, last = int(start), int(end) if end else length - 1
    if end and last < first:
        return (-1, -1)
    return (first, min(last, length - 1)) if first < length else (0, -1)


def _add(spans: list[Span], span: Span) -> None:
    for other in [other for other in spans if other[0] <= span[1] + 1 and span[0] <= other[1] + 1]:
        spans.remove(other)
        span = (min(span[0], other[0]), max(span[1], other[1]))
    spans.append(span)


def parse_content_range(value: bytes) -> tuple[int, int, int] | None:
    """(first, last, complete length); None when malformed, unsatisfied or of unknown length."""
    found = _CONTENT_RANGE.fullmatch(value)
    if found is None:
        return None
    first, last, length = int(found[1]), int(found[2]), int(found[3])
    return (first, last, length) if first <= last < length else None


def wanted(request: Request, stored: StoredResponse) -> list[Span] | None:
    """The ranges of the complete response that the request asks for, None when it asks for all of it."""
    value = request.fields.get(b"range") if request.special else None
    if value is None or request.method != "GET" or stored.status not in (200, 206):
        return None
    if request.count(b"range") != 1 or not _if_range_holds(request, stored):
        return None
    length = stored.range[2] if stored.range else len(stored.body)
    return parse_ranges(value, length)


def holds(request: Request, stored: StoredResponse) -> bool:
    """Whether the stored bytes are enough for the answer."""
    if stored.range is None:
        return True
    spans = wanted(request, stored)
    if spans is None:
        return False
    return all(stored.range[0] <= first and last <= stored.range[1] for first, last in spans)


def piece(stored: StoredResponse, span: Span) -> bytes:
    """The bytes of a span that ``holds`` found to be there."""
    start = stored.range[0] if stored.range else 0
    return stored.body[span[0] - start : span[1] + 1 - start]


def union(one: StoredResponse, other: StoredResponse) -> tuple[Span, bytes] | None:
    """The bytes of two parts as one, where they touch or overlap; the caller knows they belong together."""
    if one.range is None or other.range is None or one.range[2] != other.range[2]:
        return None
    early, late = (one, other) if one.range[0] <= other.range[0] else (other, one)
    assert early.range is not None
    assert late.range is not None
    if late.range[0] > early.range[1] + 1:
        return None
    new = late.body[early.range[1] + 1 - late.range[0] :]
    return (early.range[0], max(early.range[1], late.range[1])), early.body + new


def _if_range_holds(request: Request, stored: StoredResponse) -> bool:
    """RFC 9110 section 13.1.5: a strong validator that is exactly the stored one."""
    condition = request.fields.get(b"if-range")
    if condition is None:
        return True
    condition = condition.strip()
    if condition[:1] == b'"' or condition[:2] == b"W/":
        return condition == stored.etag and condition[:1] == b'"'
    return condition == stored.last_modified and strong_date(stored)


def strong_date(stored: StoredResponse) -> bool:
    """Whether Last-Modified proves sameness: it is older than the response (RFC 9110 section 8.8.2.2)."""
    modified = parse_date(stored.last_modified) if stored.last_modified else None
    return modified is not None and modified + 1 <= stored.date
