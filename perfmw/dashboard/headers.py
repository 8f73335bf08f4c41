"""Response headers every answer of the dashboard carries, and gzip for what is worth it."""

from __future__ import annotations

import asyncio
import gzip

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
WORTH_COMPRESSING = 1_000
WORTH_A_THREAD = 64 * 1024


class SecurityHeaders:
    """Adds the headers above; ``Cache-Control: no-store`` unless the answer says otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, receive, hardened)


def accepts_gzip(headers: Headers) -> bool:
    """Whether Accept-Encoding lists gzip with a weight above zero (RFC 9110, 12.5.3)."""
    for item in headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = item.strip().partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def compressed(response: Response, request_headers: Headers) -> Response:
    """The same response, gzipped when it is big enough and the client takes it.

    No answer holds a secret beside text that an attacker chose, so compression tells him nothing.
    """
    response.headers.add_vary_header("accept-encoding")
    if len(response.body) < WORTH_COMPRESSING or not accepts_gzip(request_headers):
        return response
    response.headers["content-encoding"] = "gzip"
    return _Gzipped(response)


class _Gzipped(Response):
    """Compressed as it is sent; a large body in a thread, since the event loop is the app's."""

    def __init__(self, plain: Response) -> None:
        self.body, self.raw_headers = plain.body, plain.raw_headers
        self.status_code, self.background = plain.status_code, plain.background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.body) < WORTH_A_THREAD:
            self.body = _gzip(self.body)
        else:
            self.body = await asyncio.to_thread(_gzip, self.body)
        self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def _gzip(body: bytes | memoryview) -> bytes:
    return gzip.compress(body, 5, mtime=0)
