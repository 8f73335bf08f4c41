"""Responses that repeat what only one client sent: personal, whatever else they say."""

from __future__ import annotations

from collections.abc import Iterator

from perfmw.http.fields import split_list, unquote
from perfmw.http.messages import Fields, Request, StoredResponse

IDENTIFYING = frozenset(
    {
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"forwarded",
        b"true-client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-forwarded-for",
        b"x-real-ip",
    }
)
"""Fields by which proxies name the client. They are not keyed: no two clients would share anything."""
_SHORTEST = 4
"""Bytes; anything shorter is in every body by chance."""
_MOST = 16
"""Values looked for. Each costs a pass over the body, and no request comes through so many proxies."""


def reflected(request: Request, stored: StoredResponse) -> bool:
    """Whether the response to be stored contains what the request says of its client, or may do so."""
    names = IDENTIFYING.intersection(request.fields).difference(stored.vary)
    if not names:
        return False
    values = {value for name in names for value in _values(request.fields, name)}
    if len(values) > _MOST:
        return True
    return any(value in stored.body or _in_fields(value, stored) for value in values)


def _in_fields(value: bytes, stored: StoredResponse) -> bool:
    return any(value in field for _, field in stored.headers)


def _values(fields: Fields, name: bytes) -> Iterator[bytes]:
    for member in split_list(fields[name]):
        value = _for(member) if name == b"forwarded" else member
        if len(value) >= _SHORTEST:
            yield value


def _for(element: bytes) -> bytes:
    """The ``for`` parameter of an element of Forwarded (RFC 7239 section 4)."""
    for pair in element.split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name.lower() == b"for":
            return unquote(value)
    return b""
