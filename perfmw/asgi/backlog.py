"""Connections that nobody has accepted yet: a queue that hides from whoever counts requests.

uvloop accepts one connection in each turn of its loop. Where clients bring a new connection for each request
and handlers compute, each turn then has one request, however many wait in the kernel. So whenever one is
accepted, some more are, and in overload all that wait (as by asyncio's own loop at any time); one that is
going to be refused and closed is so at once, without a transport and a parser of its own. Some, since other
workers may listen there too: who is free next should find somebody.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

_MOST, _SOME = 1000, 8
"""Connections taken in at once, in overload and otherwise."""
_LONGEST: Final = 8192
_MOST_NAMES: Final = 64
_ANYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound to

Refuse = Callable[[bytes, Any], bytes | None]


@dataclass(slots=True)
class Caller:
    """What a ``Porter`` asks of a connection, of one that has no protocol yet."""

    loop: asyncio.AbstractEventLoop
    server_state: Any
    root_path: str
    scheme: str
    client: tuple[str, int] | None


class Backlog:
    """Who waits to be accepted where a connection was just made.

    :param at_ease: whether nobody is refused at the moment.
    :param refuse: the whole answer to a request's bytes, for one that is refused and its connection closed;
        None for any other.
    """

    def __init__(self, at_ease: Callable[[float], bool], refuse: Refuse) -> None:
        self._at_ease, self._refuse = at_ease, refuse
        self._listening: dict[Any, int | None] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def take_in(self, made: Any) -> None:
        """Accept who waits beside ``made``, a protocol of uvicorn's, where uvloop leaves them waiting."""
        if made.fetched or type(made.loop).__module__.partition(".")[0] != "uvloop":
            return
        name = made.transport.get_extra_info("sockname")
        if name not in self._listening:
            if len(self._listening) >= _MOST_NAMES:
                return
            self._listening[name] = _listener(name)
        number = self._listening[name]
        if number is None:
            return
        try:
            with _borrowed(number) as listener:
                if not _serves(listener, name):
                    del self._listening[name]  # closed since; the number may be another's by now
                    return
                for _ in range(_SOME if self._at_ease(perf_counter()) else _MOST):
                    self._welcome(*listener.accept(), made)
        except OSError:  # nobody else waits, mostly
            return

    def _welcome(self, caller: socket.socket, address: Any, made: Any) -> None:
        caller.setblocking(False)
        if made.config.ssl is None:
            with suppress(OSError):
                if self._turned_away(caller, address, made):
                    caller.close()
                    return
        connecting = self._connect(caller, made)
        try:
            first = connecting.send(None)  # in this turn: the next may be as long as its requests take
        except StopIteration:  # gone already
            return
        task = made.loop.create_task(_go_on(connecting, first))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _turned_away(self, caller: socket.socket, address: Any, made: Any) -> bool:
        """Whether a request was here already, and was refused."""
        data = caller.recv(_LONGEST, socket.MSG_PEEK)
        client = (str(address[0]), int(address[1])) if isinstance(address, tuple) else None
        asks = Caller(made.loop, made.server_state, made.root_path, made.scheme, client)
        answer = self._refuse(data, asks)
        if answer is None:
            return False
        caller.recv(len(data))  # what is left unread would reset the connection, and its answer with it
        caller.send(answer)
        return True

    @staticmethod
    async def _connect(caller: socket.socket, made: Any) -> None:
        def protocol() -> Any:
            one = type(made)(
                config=made.config, server_state=made.server_state, app_state=made.app_state, _loop=made.loop
            )
            one.fetched = True  # or each would bring others
            return one

        with suppress(OSError):  # it left again, or speaks no TLS
            await made.loop.connect_accepted_socket(protocol, caller, ssl=made.config.ssl)


async def _go_on(begun: Coroutine[Any, Any, None], first: Any) -> None:
    """The rest of a coroutine that waits for the future ``first``."""
    await _Begun(begun, first)


class _Begun:
    def __init__(self, begun: Coroutine[Any, Any, None], first: Any) -> None:
        self._begun, self._first = begun, first

    def __await__(self) -> Generator[Any, Any, None]:
        yield self._first
        yield from self._begun.__await__()


@contextmanager
def _borrowed(number: int) -> Iterator[socket.socket]:
    """The socket of a descriptor that somebody else closes."""
    found = socket.socket(fileno=number)
    try:
        yield found
    finally:
        found.detach()


def _serves(listener: socket.socket, name: Any) -> bool:
    """Whether a socket listens for those who come to ``name``."""
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return False
    at = listener.getsockname()
    if isinstance(at, tuple) and isinstance(name, tuple):
        return at[1] == name[1] and at[0] in (name[0], *_ANYWHERE)
    return bool(at) and at == name


def _listener(name: Any) -> int | None:
    """The descriptor of this process that listens for those who come to ``name``; None where not known."""
    try:
        numbers = [int(number) for number in os.listdir("/proc/self/fd")]
    except OSError:
        return None
    for number in numbers:
        with suppress(OSError), _borrowed(number) as one:
            if _serves(one, name):
                return number
    return None
