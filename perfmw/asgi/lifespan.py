"""Run perfmw's own start and stop along with the host app's lifespan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from perfmw.asgi.types import ASGIApp, Message, Receive, Scope, Send

Step = Callable[[], Awaitable[None]]

_ENDS = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"})


class _Lifespan:
    """One lifespan: ``start`` runs before the app's startup, ``ready`` after it, ``stop`` after shutdown."""

    def __init__(
        self, receive: Receive, send: Send, start: Step, stop: Step, ready: Callable[[], object]
    ) -> None:
        self._receive = receive
        self._send = send
        self._start = start
        self._stop = stop
        self._ready = ready
        self.asked = False

    async def receive(self) -> Message:
        message = await self._receive()
        self.asked = True
        if message["type"] == "lifespan.startup":
            await self._start()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] in _ENDS:
            await self._stop()
        await self._send(message)
        if message["type"] == "lifespan.startup.complete":
            self._ready()

    async def stand_in(self) -> None:
        """The app knows no lifespan: answer the server, so that perfmw still starts and stops in time."""
        await self.receive()
        await self.send({"type": "lifespan.startup.complete"})
        await self._receive()
        await self.send({"type": "lifespan.shutdown.complete"})


async def run_lifespan(
    app: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    start: Step,
    stop: Step,
    ready: Callable[[], object] = lambda: None,
) -> None:
    """Pass the lifespan through to ``app``. An app that leaves without asking for a message has none.

    :param ready: called once the app can answer requests.
    :raises Exception: whatever the app raises once it has asked for its startup message.
    """
    lifespan = _Lifespan(receive, send, start, stop, ready)
    try:
        await app(scope, lifespan.receive, lifespan.send)
    except Exception:
        if lifespan.asked:
            await stop()
            raise
    if not lifespan.asked:
        await lifespan.stand_in()
