"""Run perfmw's own start and stop along with the host app's lifespan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from perfmw.asgi.types import ASGIApp, Message, Receive, Scope, Send

Step = Callable[[], Awaitable[None]]


async def run_lifespan(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, start: Step, stop: Step
) -> None:
    """Pass the lifespan through to ``app``: ``start`` runs before its startup, ``stop`` after its shutdown.

    An app without lifespan support raises or returns at once, and the server decides what that means.
    """

    async def receiving() -> Message:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await start()
        return message

    async def sending(message: Message) -> None:
        if message["type"] in _ENDS:
            await stop()
        await send(message)

    await app(scope, receiving, sending)


_ENDS = frozenset(
    {"lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"},
)
