"""Folding what a 304 or a HEAD says into a stored response (sections 3.2, 4.3.4 and 4.3.5)."""

from __future__ import annotations

from dataclasses import replace

from perfmw.http.dates import format_date
from perfmw.http.fields import names_in
from perfmw.http.messages import Header, Request, ResponseHead, StoredResponse
from perfmw.http.policy import Policy
from perfmw.http.ranges import parse_content_range, strong_date, union
from perfmw.http.serve import opaque_tag
from perfmw.http.storing import HOP_BY_HOP, Storing, assess
from perfmw.settings import CacheRule

# They describe the stored bytes, which a 304 does not change. Section 3.2 exempts Content-Length alone where
# a cache stores what it received, so this holds for parts, and by default, since origins do get it wrong.
_OF_THE_BODY = frozenset({b"content-digest", b"content-encoding", b"content-length", b"content-range"})
_OF_THE_PART = frozenset({b"content-digest", b"content-length", b"content-md5", b"content-range"})


def answers(stored: StoredResponse, head: ResponseHead, *, strict: bool = False) -> bool:
    """Whether a 304 is about this stored response (section 4.3.4).

    A 304 that carries no validator answers our own condition, which named this response. Of several strong
    validators one is enough; by default an entity tag has to be the same, whatever the date says.
    """
    etag, modified = head.fields.get(b"etag"), head.fields.get(b"last-modified")
    if etag is None:
        return modified is None or stored.last_modified is None or modified == stored.last_modified
    if _same_tag(etag, stored.etag):
        return True
    return strict and modified is not None and modified == stored.last_modified and strong_date(stored)


def _same_tag(etag: bytes, known: bytes | None) -> bool:
    if known is None:
        return False
    return opaque_tag(etag) == opaque_tag(known) if etag.startswith(b"W/") else etag == known


def freshen(
    stored: StoredResponse,
    head: ResponseHead,
    *,
    request: Request,
    request_time: float,
    response_time: float,
    policy: Policy,
    rule: CacheRule | None = None,
    selecting: bool = False,
) -> Storing | None:
    """The stored response with the 304's fields, body included.

    :param selecting: Vary did not give it to ``request``, the 304 did; from now on Vary does.
    :return: ``stored`` is always set, to answer with; ``store`` says whether to keep it. None when the 304
        is about something else: the request has to be sent again without conditions.
    """
    if not answers(stored, head, strict=policy.rfc_strict):
        return None
    merged = ResponseHead(stored.status, _merged(stored, head, policy, response_time))
    return assess(
        request,
        merged,
        request_time=request_time,
        response_time=response_time,
        policy=policy,
        rule=rule,
        known=stored,
        selecting=selecting,
    )


def _merged(stored: StoredResponse, head: ResponseHead, policy: Policy, response_time: float) -> list[Header]:
    skipped = HOP_BY_HOP | {b"content-length"} | {*names_in(head.fields.get(b"connection", b""))}
    if stored.range is not None or not policy.rfc_strict:
        skipped |= _OF_THE_BODY
    new = [field for field in head.headers if field[0] not in skipped]
    if not policy.rfc_strict and not policy.allow_set_cookie:
        # a cookie in a 304 is for the one who asked, never for those served from the store
        new = [field for field in new if field[0] != b"set-cookie"]
    if b"date" not in head.fields and stored.field(b"date") is not None:
        # the old Date would make the confirmed response look as old as ever (RFC 9110 section 6.6.1)
        new.append((b"date", format_date(response_time)))
    replaced = {name for name, _ in new}
    return [field for field in stored.headers if field[0] not in replaced] + new


def completed(
    stored: StoredResponse,
    head: ResponseHead,
    body: bytes,
    *,
    request: Request,
    request_time: float,
    response_time: float,
    policy: Policy,
    rule: CacheRule | None = None,
) -> Storing | None:
    """A stored beginning or end and the 206 that brings the rest, as one complete response (section 3.4).

    :param body: the bytes of the 206.
    :return: as ``freshen``; None when the two do not fit together.
    """
    if head.status != 206 or head.fields.get(b"etag") != stored.etag:
        return None
    part = replace(stored, body=body, range=parse_content_range(head.fields.get(b"content-range", b"")))
    found = _of_one_length(part) and union(stored, part)
    if not found or stored.range is None or found[0] != (0, stored.range[2] - 1):
        return None
    whole = _whole(stored, _merged(stored, head, policy, response_time), found[1])
    return assess(
        request,
        ResponseHead(200, whole.headers),
        request_time=request_time,
        response_time=response_time,
        policy=policy,
        rule=rule,
        known=whole,
    )


def joined(old: StoredResponse, new: StoredResponse, limit: int) -> StoredResponse:
    """A new part with what an older one adds to it (section 3.4); as it is where the two do not fit together.

    Only the same strong entity tag proves that they do (RFC 9110 section 15.3.7.3).

    :param limit: the largest body to make of them, in bytes.
    """
    if old.etag is None or old.etag[:1] != b'"' or old.own_etag or old.etag != new.etag:
        return new
    found = union(old, new)
    if found is None or len(found[1]) > limit or new.range is None:
        return new
    replaced = {name for name, _ in new.headers}
    headers = [field for field in old.headers if field[0] not in replaced] + new.headers
    if found[0] == (0, new.range[2] - 1):
        return _whole(new, headers, found[1])
    headers = [field for field in headers if field[0] not in _OF_THE_PART]
    headers.append((b"content-range", b"bytes %d-%d/%d" % (*found[0], new.range[2])))
    headers.append((b"content-length", b"%d" % len(found[1])))
    return replace(new, headers=headers, body=found[1], range=(*found[0], new.range[2]), brief=None)


def _of_one_length(part: StoredResponse) -> bool:
    """Whether a part has as many bytes as its Content-Range says."""
    return part.range is not None and part.range[1] - part.range[0] + 1 == len(part.body)


def _whole(stored: StoredResponse, headers: list[Header], body: bytes) -> StoredResponse:
    kept = [field for field in headers if field[0] not in _OF_THE_PART]
    kept.append((b"content-length", b"%d" % len(body)))
    return replace(stored, status=200, headers=kept, body=body, range=None, brief=None)


def updated_by_head(
    stored: StoredResponse,
    head: ResponseHead,
    *,
    request: Request,
    request_time: float,
    response_time: float,
    policy: Policy,
    rule: CacheRule | None = None,
) -> StoredResponse | None:
    """What a forwarded HEAD makes of a stored GET response; None to leave it alone (section 4.3.5).

    A HEAD that matches updates it; one that shows another state (or none: 404, 410) makes it stale.
    """
    if head.status in (404, 410):
        return outdated(stored)
    if head.status != 200:
        return None
    if not _same_state(stored, head):
        return outdated(stored)
    result = freshen(
        stored,
        head,
        request=request,
        request_time=request_time,
        response_time=response_time,
        policy=policy,
        rule=rule,
    )
    return result.stored if result is not None and result.store else outdated(stored)


def outdated(stored: StoredResponse) -> StoredResponse:
    """The same response, to be validated before any further use."""
    return replace(stored, fresh_until=0.0, always_revalidate=True, must_revalidate=True)


def _same_state(stored: StoredResponse, head: ResponseHead) -> bool:
    fields = head.fields
    if b"etag" in fields and fields[b"etag"] != stored.etag:
        return False
    if b"last-modified" in fields and fields[b"last-modified"] != stored.last_modified:
        return False
    length = fields.get(b"content-length")
    return length is None or stored.range is not None or length == b"%d" % len(stored.body)
