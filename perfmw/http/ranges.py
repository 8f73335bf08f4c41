"""Byte ranges: one range out of a stored response (RFC 9110 section 14); several are answered in full."""

from __future__ import annotations

import re

from perfmw.http.dates import parse_date
from perfmw.http.messages import Request, StoredResponse

# bounded digits and length: a hostile Range costs one failed match
_RANGE = re.compile(rb"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))[ \t]*", re.IGNORECASE)
_CONTENT_RANGE = re.compile(rb"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.IGNORECASE)
_LONGEST = 64

UNSATISFIABLE = (-1, -1)
Span = tuple[int, int]


def parse_range(value: bytes, length: int) -> Span | None:
    """(first, last) of a single range, clipped to ``length`` bytes.

    :return: ``UNSATISFIABLE`` when it lies outside (416), None when it is to be ignored: another unit,
        several ranges, or malformed.
    """
    found = _RANGE.fullmatch(value) if len(value) <= _LONGEST else None
    if found is None:
        return None
    if found[3] is not None:
        suffix = min(int(found[3]), length)
        return (length - suffix, length - 1) if suffix else UNSATISFIABLE
    first = int(found[1])
    last = length - 1 if found[2] is None else int(found[2])
    if found[2] is not None and last < first:
        return None
    return (first, min(last, length - 1)) if first < length else UNSATISFIABLE


def parse_content_range(value: bytes) -> tuple[int, int, int] | None:
    """(first, last, complete length); None when malformed, unsatisfied or of unknown length."""
    found = _CONTENT_RANGE.fullmatch(value)
    if found is None:
        return None
    first, last, length = int(found[1]), int(found[2]), int(found[3])
    return (first, last, length) if first <= last < length else None


def wanted(request: Request, stored: StoredResponse) -> Span | None:
    """The range of the complete response that the request asks for, None when it asks for all of it."""
    value = request.fields.get(b"range") if request.special else None
    if value is None or request.method != "GET" or stored.status not in (200, 206):
        return None
    if request.count(b"range") != 1 or not _if_range_holds(request, stored):
        return None
    length = stored.range[2] if stored.range else len(stored.body)
    return parse_range(value, length)


def holds(request: Request, stored: StoredResponse) -> bool:
    """Whether the stored bytes are enough for the answer."""
    if stored.range is None:
        return True
    span = wanted(request, stored)
    if span is None:
        return False
    return span == UNSATISFIABLE or (stored.range[0] <= span[0] and span[1] <= stored.range[1])


def piece(stored: StoredResponse, span: Span) -> bytes:
    """The bytes of a span that ``holds`` found to be there."""
    start = stored.range[0] if stored.range else 0
    return stored.body[span[0] - start : span[1] + 1 - start]


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
