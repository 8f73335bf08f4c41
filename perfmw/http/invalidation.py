"""Which stored URLs a write outdates (section 4.4)."""

from __future__ import annotations

from perfmw.http.keys import referenced_key, request_key
from perfmw.http.messages import Request, ResponseHead

# RFC 9110 section 9.2.1 and the IANA registry; a method not known to be safe may change anything
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"})


def outdated_keys(request: Request, head: ResponseHead) -> list[str]:
    """Keys to invalidate after this exchange: the target, Location and Content-Location on its authority.

    Empty for safe methods and for responses that are not 2xx or 3xx.
    """
    if request.method in SAFE_METHODS or not 200 <= head.status < 400:
        return []
    keys = [request_key(request.scheme, request.authority, request.path, request.query)]
    for name, value in head.headers:
        if name in (b"location", b"content-location"):
            key = referenced_key(keys[0], value)
            if key is not None and key not in keys:
                keys.append(key)
    return keys
