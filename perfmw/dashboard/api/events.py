"""The event stream: overview, routes and optimization state."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from perfmw.dashboard.api.endpoint import Context, Endpoint
from perfmw.dashboard.live import EventStream


class _StreamResponse(Response):
    """Hands the connection to the stream, which watches for the client leaving."""

    def __init__(self, stream: EventStream) -> None:
        super().__init__()
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._stream(scope, receive, send)


async def stream(context: Context, request: Request) -> Response:
    return _StreamResponse(EventStream(context.feed))


ENDPOINTS = (Endpoint("GET", "/events", "Server-sent events: the current state, every second", stream),)
