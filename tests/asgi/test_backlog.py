"""Connections that wait in the kernel under uvloop: all are taken in at once, and refused at once."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from perfmw.asgi.door import Head, guarded

uvicorn = pytest.importorskip("uvicorn")
uvloop = pytest.importorskip("uvloop")
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="descriptors are looked up in /proc"),
    pytest.mark.parametrize("http", ["httptools", "h11"]),
]

CALLERS = 20
FEW = 8
"""Turns of the loop that are enough for all; one at a time needs as many as there are callers."""
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbusy"


class Porter:
    def __init__(self) -> None:
        self.easy = False
        self.clients: list[Any] = []

    def at_ease(self, now: float) -> bool:
        return self.easy

    def answer(self, head: Head, connection: Any, now: float, *, closes: bool) -> bytes | None:
        self.clients.append(connection.client)
        return REFUSED if head.path == "/no" and closes else None


class Site:
    """A server in this process; ``callers`` come while its loop stands still."""

    def __init__(self, http: str, porter: Porter, uds: str | None = None) -> None:
        self.turns: list[int] = []
        self._turn, self._uds = 0, uds
        config = uvicorn.Config(
            self._app, log_level="error", interface="asgi3", lifespan="off", http=http, uds=uds, port=0
        )
        config.load()
        config.http_protocol_class = guarded(config.http_protocol_class, porter)
        self.server = uvicorn.Server(config)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.turns.append(self._turn)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def run(self, told: Callable[[Site], Awaitable[None]]) -> None:
        uvloop.run(self._run(told))

    async def _run(self, told: Callable[[Site], Awaitable[None]]) -> None:
        serving = asyncio.create_task(self.server.serve())
        while not self.server.started:  # noqa: ASYNC110 - it tells of it by this alone
            await asyncio.sleep(0.01)
        try:
            await told(self)
        finally:
            self.server.should_exit = self.server.force_exit = True
            await serving

    def callers(self, path: str, count: int = CALLERS) -> list[socket.socket]:
        came = []
        for _ in range(count):
            one = socket.socket(socket.AF_UNIX if self._uds else socket.AF_INET)
            one.connect(self._uds or self.server.servers[0].sockets[0].getsockname())
            one.sendall(f"GET {path} HTTP/1.1\r\nhost: site\r\nconnection: close\r\n\r\n".encode())
            one.setblocking(False)
            came.append(one)
        return came

    async def answers(self, callers: list[socket.socket], within: int) -> list[bytes]:
        """What came within so many turns of the loop."""
        for _ in range(within):
            self._turn += 1
            await asyncio.sleep(0)
        found = [_received(one) for one in callers]
        for one in callers:
            one.close()
        return found


def _received(one: socket.socket) -> bytes:
    data = b""
    try:
        while got := one.recv(4096):
            data += got
    except BlockingIOError:
        return data + b"..."
    return data


@pytest.mark.parametrize("easy", [False, True])
def test_who_waits_is_let_in_with_others(http: str, *, easy: bool) -> None:
    """In overload all; else some, since the next worker that is free should find somebody."""

    async def told(site: Site) -> None:
        found = await site.answers(site.callers("/"), CALLERS)
        assert [one.startswith(b"HTTP/1.1 200") and one.endswith(b"ok") for one in found] == [True] * CALLERS
        together = max(Counter(site.turns).values())
        assert 2 <= together <= 10 if easy else together >= CALLERS - 1

    porter = Porter()
    porter.easy = easy
    Site(http, porter).run(told)
    assert bool(porter.clients) is not easy


def test_who_is_refused_is_so_at_once_and_closed(http: str) -> None:
    async def told(site: Site) -> None:
        await site.answers(site.callers("/", 1), FEW)
        first, *others = await site.answers(site.callers("/no"), FEW)
        assert others == [REFUSED] * (CALLERS - 1)
        assert first.startswith(REFUSED)  # by way of a connection of uvicorn's
        assert len(site.turns) == 1

    porter = Porter()
    Site(http, porter).run(told)
    assert all(host == "127.0.0.1" and port > 0 for host, port in porter.clients)


def test_nobody_waits_at_a_unix_socket_either(http: str, tmp_path: Path) -> None:
    async def told(site: Site) -> None:
        found = await site.answers(site.callers("/no"), FEW)
        assert [one.startswith(REFUSED) for one in found] == [True] * CALLERS

    Site(http, Porter(), str(tmp_path / "site")).run(told)


def test_who_has_not_asked_yet_is_let_in_and_may_take_time(http: str) -> None:
    async def told(site: Site) -> None:
        silent = socket.create_connection(site.server.servers[0].sockets[0].getsockname())
        gone = socket.create_connection(site.server.servers[0].sockets[0].getsockname())
        gone.close()
        assert await site.answers(site.callers("/"), FEW)
        silent.sendall(b"GET / HTTP/1.1\r\nhost: site\r\n\r\n")
        silent.setblocking(False)
        (found,) = await site.answers([silent], FEW)
        assert found.startswith(b"HTTP/1.1 200")

    Site(http, Porter()).run(told)


def test_a_server_that_closes_does_not_keep_its_port(http: str) -> None:
    async def told(site: Site) -> None:
        await site.answers(site.callers("/no"), FEW)
        address.append(site.server.servers[0].sockets[0].getsockname())

    address: list[Any] = []
    Site(http, Porter()).run(told)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address[0])
