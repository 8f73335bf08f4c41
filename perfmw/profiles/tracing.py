"""Spans that perfmw opens itself, for sampled requests alone, and who counts which request.

It is at work only where somebody wants spans: a share of requests was asked for (``trace_ratio``), or the
host has a tracer provider of the OpenTelemetry SDK, whose spans feed the profiles too.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from perfmw.profiles.covered import cover, uncover
from perfmw.profiles.store import ProfileStore

Messages = Callable[[Any], Awaitable[None]]
Answer = Callable[[MutableMapping[str, Any], Any, Messages, list[str]], Awaitable[None]]
"""Answers a request, and appends the name of its route to the list, such as ``GET /items/{id}``."""

_SAMPLED = 0x01


class RequestTracing:
    """Opens a server span for a sampled request; marks every request as counted by the middleware.

    :param ratio: the share of requests without a parent that get a span, 0..1. A request with a valid
        ``traceparent`` gets one if and only if its parent was sampled (W3C Trace Context), and ``ratio`` > 0.
    """

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    async def run(
        self, answer: Answer, scope: MutableMapping[str, Any], receive: Any, send: Messages
    ) -> None:
        """Have ``answer`` answer the request, within a span if it is sampled."""
        token = cover()
        try:
            if self.ratio > 0 and self._sampled(scope):
                await self._traced(answer, scope, receive, send)
            else:
                await answer(scope, receive, send, [])
        finally:
            uncover(token)

    def _sampled(self, scope: Mapping[str, Any]) -> bool:
        for name, value in scope["headers"]:
            if name == b"traceparent":
                parts = value.split(b"-")
                try:
                    return bool(int(parts[3], 16) & _SAMPLED)
                except (IndexError, ValueError):
                    break
        return random.random() < self.ratio

    async def _traced(
        self, answer: Answer, scope: MutableMapping[str, Any], receive: Any, send: Messages
    ) -> None:
        from opentelemetry import propagate, trace

        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        tracer = trace.get_tracer("perfmw")
        with tracer.start_as_current_span(
            scope["method"],
            context=propagate.extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes=_request_attributes(scope, carrier),
        ) as span:

            async def noting(message: Any) -> None:
                if message["type"] == "http.response.start":
                    _note_response(span, message)
                await send(message)

            route: list[str] = []
            await answer(scope, receive, noting, route)
            if route and route[0]:
                span.update_name(route[0])
                span.set_attribute("http.route", route[0].partition(" ")[2])


def _request_attributes(scope: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, str | int]:
    """The stable HTTP semantic conventions of OpenTelemetry, for a server."""
    known: dict[str, str | int] = {
        "http.request.method": scope["method"],
        "url.scheme": scope.get("scheme", "http"),
        "url.path": scope["path"],
        "network.protocol.version": scope.get("http_version", ""),
    }
    host, _, port = fields.get("host", "").partition(":")
    if host:
        known["server.address"] = host
    if port.isdigit():
        known["server.port"] = int(port)
    if scope.get("client"):
        known["client.address"] = scope["client"][0]
    if "user-agent" in fields:
        known["user_agent.original"] = fields["user-agent"]
    return known


def _note_response(span: Any, message: Mapping[str, Any]) -> None:
    from opentelemetry.trace import Status, StatusCode

    status = message["status"]
    span.set_attribute("http.response.status_code", status)
    for name, value in message.get("headers", ()):
        if name == b"cache-status":
            span.set_attribute("http.response.header.cache-status", [value.decode("latin-1")])
    if status >= 500:
        span.set_attribute("error.type", str(status))
        span.set_status(Status(StatusCode.ERROR))


class HostSpans:
    """Lets the spans of the host's own OpenTelemetry instrumentation feed the profiles, once it has any."""

    def __init__(self, store: ProfileStore, classify: Callable[[Any], Any] | None) -> None:
        self._store = store
        self._classify = classify
        self._detach: Callable[[], None] | None = None

    @property
    def attached(self) -> bool:
        return self._detach is not None

    def attach(self) -> bool:
        """Attach to the host's tracer provider; whether it is attached. Cheap, to be asked again later."""
        if self._detach is None and "opentelemetry.sdk.trace" in sys.modules:
            from perfmw.profiles.spans import ProfileSpanProcessor, attach

            self._detach = attach(ProfileSpanProcessor(self._store, self._classify))
        return self.attached

    def detach(self) -> None:
        """Take in no more spans."""
        if self._detach is not None:
            self._detach()
            self._detach = None
