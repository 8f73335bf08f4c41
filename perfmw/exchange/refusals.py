"""Those turned away before the app: by which words they are known, what they get, and who does it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from perfmw.asgi.types import ASGIApp, HeaderList, Message, Scope, Send
from perfmw.http.status import NAME

if TYPE_CHECKING:
    from perfmw.runtime.limits import Limits

log = logging.getLogger("perfmw")

OVERLOAD = "overload"
QUOTA = "quota"
REFUSALS = {reason: (b"cache-status", f"{NAME}; detail={reason}".encode()) for reason in (OVERLOAD, QUOTA)}
"""Cache-Status of those turned away, by reason: neither a hit nor forwarded."""


def problem_fields(body: bytes, retry: int) -> HeaderList:
    """Of a problem (RFC 9457) that is over in ``retry`` seconds, perhaps."""
    return [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(retry).encode()),
        (b"cache-control", b"no-store"),
    ]


async def send_refusal(scope: Scope, send: Send, start: Message, body: bytes) -> None:
    """An answer of perfmw's own; ``start`` has its status and fields."""
    await send({"type": "http.response.start", **start})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def dashboard_missing(error: Exception, scope: Scope, send: Send) -> None:
    """The dashboard, which is loaded when first asked for, can not be: no file can be opened, mostly."""
    log.error("the dashboard cannot be loaded: %r", error)
    why = getattr(error, "strerror", None) or "a package is missing or damaged; the server's log says which"
    detail = f"The dashboard cannot be loaded: {why}."
    told = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": detail}
    body = json.dumps(told).encode()
    if scope["type"] == "http":
        await send_refusal(scope, send, {"status": 503, "headers": problem_fields(body, 10)}, body)


def limited(app: ASGIApp, limits: Limits | None) -> ASGIApp:
    """The app within the limits; the app itself where there are none."""
    if limits is None:
        return app
    from perfmw.exchange.limiting import Limited  # only those who want limits pay for them

    return Limited(app, limits)
