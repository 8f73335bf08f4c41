"""Before the app: who may not come in is turned away, by an answer made beforehand where possible."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from time import perf_counter
from typing import TYPE_CHECKING

from perfmw.asgi.tee import Tee
from perfmw.asgi.types import BACKGROUND, REFUSED, ASGIApp, HeaderList, Message, Receive, Scope, Send
from perfmw.exchange.passage import Passage
from perfmw.exchange.refusals import OVERLOAD, QUOTA, problem_fields, send_refusal
from perfmw.exchange.requests import request_of
from perfmw.resources.concurrency import Priority, Ticket
from perfmw.runtime.gate import Gate
from perfmw.runtime.limits import Limits, Place

if TYPE_CHECKING:
    from perfmw.runtime.quotas import Exceeded

_PROBLEMS = "https://iana.org/assignments/http-problem-types#"
BUSY = json.dumps(
    {
        "type": f"{_PROBLEMS}temporary-reduced-capacity",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The server has as much to do as it can. Try again later.",
    }
).encode()
_SPREAD = 3
"""Seconds over which those turned away are asked to come back, so that they do not all come at once."""


OVERLOADED = [problem_fields(BUSY, seconds + 1) for seconds in range(_SPREAD)]
"""The fields of those turned away, by how long they are asked to stay away."""


class Limited:
    """An app within limits. Made only where the settings ask for any."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self._limits = limits
        self._refusing = limits.mode == "on"
        self._turned_away = 0

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """No coroutine function, which would be a frame more for each request."""
        place, background = self._limits.place(scope), BACKGROUND in scope
        if place.quotas and not background:
            return self._counted(place, self._priority(place, scope), scope, receive, send)
        if place.gate is None:
            return self.app(scope, receive, send)
        priority = Priority.LOW if background else self._priority(place, scope)
        return self._through(place.gate, priority, scope, receive, send)

    def _priority(self, place: Place, scope: Scope) -> Priority:
        return self._limits.priority(place, request_of(scope)) if self._limits.asks else place.priority

    async def _counted(
        self, place: Place, priority: Priority, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Within the quotas, if they allow it."""
        assert self._limits.quotas is not None
        answer = await self._limits.quotas.enter(place, scope, priority)
        if answer.exceeded is not None:
            await self._refuse_quota(answer.exceeded, scope, send)
            return
        if answer.fields:
            _carry(send, answer.fields)
        try:
            if place.gate is None:
                await self.app(scope, receive, send)
            else:
                await self._through(place.gate, priority, scope, receive, send)
        finally:
            answer.leave()

    async def _through(
        self, gate: Gate, priority: Priority, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Through the gate of a group, if there is room."""
        who = self._limits.who(scope) if self._limits.fair else ""
        if gate.wait and self._refusing:
            ticket = await gate.enter_or_wait(priority, who)
        else:
            ticket = gate.enter(priority, who)
        if ticket is None:
            if self._refusing:
                await self._refuse(scope, send)
            else:
                await self.app(scope, receive, send)
            return
        inside = Inside(gate, ticket, send)
        try:
            await self.app(scope, receive, inside.send)
        except BaseException:
            inside.leave(measured=False)
            raise
        if inside.ticket is not None:
            inside.leave()

    async def _refuse(self, scope: Scope, send: Send) -> None:
        self._turned_away += 1
        self._limits.refused_at = perf_counter()
        fields = OVERLOADED[self._turned_away % len(OVERLOADED)]
        await send_refusal(scope, send, {"status": 503, "headers": [*fields], REFUSED: OVERLOAD}, BUSY)

    async def _refuse_quota(self, exceeded: Exceeded, scope: Scope, send: Send) -> None:
        body = json.dumps(
            {
                "type": f"{_PROBLEMS}quota-exceeded",
                "title": "Too Many Requests",
                "status": 429,
                "detail": exceeded.detail,
                "violated-policies": [exceeded.name],
            }
        ).encode()
        fields = problem_fields(body, exceeded.retry)
        start = {"status": 429, "headers": [*fields, *exceeded.fields], REFUSED: QUOTA}
        await send_refusal(scope, send, start, body)


class _Carrying:
    """A client's ``send`` that adds fields to its response.

    ``__self__`` is whose method the client's own is: some look there for what the server can do.
    """

    __slots__ = ("__self__", "_fields", "_send")

    def __init__(self, send: Send, fields: HeaderList) -> None:
        self.__self__ = getattr(send, "__self__", None)
        self._send, self._fields = send, fields

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *self._fields]}
        return self._send(message)


def _carry(send: Send, fields: HeaderList) -> None:
    """Let this client alone see ``fields``: they go around what is stored of the response for others."""
    exchange = getattr(send, "__self__", None)
    if isinstance(exchange, Tee | Passage):
        exchange.send_message = _Carrying(exchange.send_message, fields)


class Inside:
    """A request with a ticket, which it holds until its last byte is handed on."""

    __slots__ = ("_failed", "_gate", "_send", "ticket")

    def __init__(self, gate: Gate, ticket: Ticket, send: Send) -> None:
        self._gate = gate
        self._send = send
        self.ticket: Ticket | None = ticket
        self._failed = False

    def send(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.body":
            if self.ticket is not None and not message.get("more_body", False):
                self.leave()
        elif kind == "http.response.start":
            self._failed = message["status"] >= 400
            if _streams(message):
                self.leave(measured=False)
        elif kind == "http.response.pathsend":
            self.leave()
        return self._send(message)

    def leave(self, *, measured: bool = True) -> None:
        """Give the ticket back, once. Failures are often fast, and say nothing about what work takes."""
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            self._gate.leave(ticket, measured=measured and not self._failed)


def _streams(message: Message) -> bool:
    """Whether a response goes on for as long as the client likes."""
    for name, value in message.get("headers", ()):
        if name == b"content-type":
            return bool(value.startswith(b"text/event-stream"))
    return False
