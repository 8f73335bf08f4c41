"""Head and body of a response in one write, where the server would make two.

uvicorn writes a response's head when it starts and its body when that comes: two system calls, and with
TLS two records. A call costs it some five microseconds, which is more than all else that is done for a hit.
While both are at hand, what the server writes to its transport is kept until both were written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from perfmw.asgi.types import Message, Send
from perfmw.asgi.written import Lesson, WrittenHead

LARGEST = 16_384
"""Bytes of a body up to which head and body are put together; copying more costs more than a call."""


class Transport(Protocol):
    """What a server writes to."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Cycle(Protocol):
    """A server's request under way, which writes to ``transport``."""

    transport: Any


class Cork:
    """Stands for a transport during two messages: what is written waits in ``kept`` until both are there."""

    __slots__ = ("_kept", "_transport", "write")

    def __init__(self, transport: Transport, kept: list[bytes]) -> None:
        self._transport = transport
        self._kept = kept
        self.write = kept.append

    def close(self) -> None:
        _write_all(self._transport, self._kept)
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


_corked: dict[type, bool] = {type(None): False}
"""Whether what ``send`` belongs to is a request of uvicorn's, by its type."""


def cycle_of(send: Send) -> Cycle | None:
    """The request under way whose ``send`` this is, if its server writes twice; else None."""
    cycle = getattr(send, "__self__", None)
    kind = type(cycle)
    corked = _corked.get(kind)
    if corked is None:
        corked = _corked[kind] = kind.__module__.startswith("uvicorn.protocols.http.") and hasattr(
            cycle, "transport"
        )
    return cycle if corked else None


def _write_all(transport: Transport, kept: list[bytes]) -> None:
    """What was kept is written, small parts at once."""
    if len(kept) > 1 and len(kept[1]) <= LARGEST:
        transport.write(b"".join(kept))
    else:
        for data in kept:
            transport.write(data)
    kept.clear()


async def send_both(
    cycle: Cycle,
    send: Send,
    start: Message,
    body: Message,
    learn: Callable[[Message, WrittenHead | None], None] | None = None,
) -> None:
    """Send the start of a response and its first body, in one write if that is small.

    :param learn: told what the server made of ``start``, to be used for others like it.
    """
    kept: list[bytes] = []
    transport = cycle.transport
    cycle.transport = Cork(transport, kept)
    try:
        lesson = None if learn is None else Lesson(cycle)
        await send(start)
        if lesson is not None and learn is not None:
            learn(start, lesson.head(kept))
        await send(body)
    finally:
        cycle.transport = transport
        if kept:
            _write_all(transport, kept)


async def send_response(send: Send, start: Message, body: Message) -> None:
    """Send a response of two messages, in one write where that is possible."""
    cycle = cycle_of(send)
    if cycle is not None:
        await send_both(cycle, send, start, body)
    else:
        await send(start)
        await send(body)
