"""Which stored URLs a write outdates (section 4.4)."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from perfmw.http.keys import request_key
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
            key = _key_of_reference(keys[0][4:], value.decode("latin-1").strip())
            if key is not None and key not in keys:
                keys.append(key)
    return keys


def _key_of_reference(base: str, reference: str) -> str | None:
    """The key of a URI reference, None when it does not parse or names another origin."""
    try:
        here, there = urlsplit(base), urlsplit(urljoin(base, reference))
        key = request_key(there.scheme, there.netloc.encode("latin-1"), *_raw(there.path, there.query))
        same = key.startswith(request_key(here.scheme, here.netloc.encode("latin-1"), b"/", b""))
    except ValueError:
        return None
    return key if same else None


def _raw(path: str, query: str) -> tuple[bytes, bytes]:
    return path.encode("latin-1") or b"/", query.encode("latin-1")
