"""Cache keys: readable, and distinct wherever the bytes of the URL are."""

from __future__ import annotations

from functools import lru_cache

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
