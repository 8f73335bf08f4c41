"""Cache keys: readable, and distinct wherever the bytes of the URL are."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urljoin, urlsplit

_DEFAULT_PORTS = {"http": b":80", "https": b":443"}


@lru_cache(maxsize=256)
def _prefix(scheme: str, authority: bytes) -> str:
    host = authority.lower()
    port = _DEFAULT_PORTS.get(scheme)
    if port and host.endswith(port):
        host = host[: -len(port)]
    return f"GET {scheme}://{host.decode('latin-1')}"


def request_key(scheme: str, authority: bytes, path: bytes, query: bytes) -> str:
    """``GET https://host/path?query``, from raw bytes; HEAD shares the key of GET.

    Nothing is decoded: ``%2F`` and ``/``, or two orders of parameters, are different keys.
    """
    key = _prefix(scheme, authority) + path.decode("latin-1")
    return f"{key}?{query.decode('latin-1')}" if query else key


def custom_key(scheme: str, authority: bytes, text: str) -> str:
    """A key whose path and query a plugin replaced by ``text``; it can not reach another host's entries."""
    return f"{_prefix(scheme, authority)} {text}"


def referenced_key(key: str, reference: bytes) -> str | None:
    """The key of what a URI reference in the response to ``key`` points at (RFC 9110 section 10.2.2).

    None when it does not parse or names another origin.
    """
    base = key.removeprefix("GET ")
    try:
        here, there = urlsplit(base), urlsplit(urljoin(base, reference.decode("latin-1").strip()))
        path, query = there.path.encode("latin-1") or b"/", there.query.encode("latin-1")
        found = request_key(there.scheme, there.netloc.encode("latin-1"), path, query)
        origin = request_key(here.scheme, here.netloc.encode("latin-1"), b"/", b"")
    except ValueError:
        return None
    return found if found.startswith(origin) else None
