"""The request as the HTTP rules see it, from an ASGI scope."""

from __future__ import annotations

from perfmw.asgi.types import Scope
from perfmw.exchange.fast import raw_path
from perfmw.http.messages import Request


def request_of(scope: Scope) -> Request:
    """The request as the HTTP rules see it."""
    headers = scope["headers"]
    if not isinstance(headers, list):
        headers = list(headers)
    authority = b""
    has_body = False
    for name, value in headers:
        if name == b"host":
            authority = authority or value
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            has_body = True
    scheme, path, query = scope.get("scheme", "http"), raw_path(scope), scope["query_string"]
    return Request(scope["method"], scheme, authority, path, query, headers, has_body)
