"""One write for head and body, on uvicorn's own protocols; everything else as without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.lifespan.off import LifespanOff
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from perfmw import PerfMiddleware, Settings
from perfmw.asgi.cork import LARGEST, Cork, cycle_of, send_both
from perfmw.asgi.types import Message

pytestmark = pytest.mark.anyio
PROTOCOLS = [HttpToolsProtocol, H11Protocol]


class Wire:
    """A transport that keeps what is written, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        if data:
            self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 5)}.get(name, default)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_protocol(self, protocol: Any) -> None: ...


class Site:
    """An app behind the middleware, as one connection of uvicorn's sees it."""

    def __init__(self, kind: Any, **chosen: Any) -> None:
        self.pause = asyncio.Event()
        self.app = PerfMiddleware(self.serve, settings=Settings(plugins=[], **chosen))
        config = Config(self.app, lifespan="off", log_level="critical")
        config.load()
        self.wire, self._state = Wire(), ServerState()
        self.protocol = kind(config=config, server_state=self._state, app_state={})
        self.protocol.connection_made(self.wire)
        assert isinstance(LifespanOff(config), LifespanOff)

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        body = b"x" * (LARGEST + 1 if path == "/large" else 5)
        headers = [(b"content-length", str(len(body)).encode())] if path != "/stream" else []
        headers += [(b"cache-control", b"max-age=60" if path == "/kept" else b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if path == "/stream" or path == "/late":
            await self.pause.wait()
        if path == "/raises":
            raise RuntimeError("the app has failed")
        await send({"type": "http.response.body", "body": body, "more_body": path == "/more"})
        if path == "/more":
            await send({"type": "http.response.body", "body": b""})

    async def ask(self, path: str, fields: str = "", *, wait: bool = True) -> list[bytes]:
        self.wire.writes.clear()
        self.protocol.data_received(f"GET {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n".encode())
        tasks = [*self._state.tasks]
        if wait:
            await asyncio.wait(tasks)
        else:
            await settled()
        return self.wire.writes

    async def again(self, path: str, fields: str = "", *, wait: bool = True) -> list[bytes]:
        """What is written when the way through is known."""
        for _ in range(3):
            await self.ask(path)
        if not wait:
            self.pause.clear()
        return await self.ask(path, fields, wait=wait)


async def settled() -> None:
    """Let everything run that waits for nobody."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture(params=PROTOCOLS)
async def site(request: Any) -> AsyncIterator[Site]:
    site = Site(request.param)
    yield site
    await site.app.runtime.stop()


@pytest.mark.parametrize("path", ["/kept", "/passed", "/more"])
async def test_a_small_response_is_one_write(site: Site, path: str) -> None:
    [data] = await site.again(path)
    assert data.startswith(b"HTTP/1.1 200")
    assert data.endswith(b"\r\n\r\nxxxxx")
    assert b"cache-status: perfmw; hit" in data if path == "/kept" else b"no-store" in data
    [again] = await site.ask(path)  # the connection goes on
    assert again.endswith(b"xxxxx")


async def test_a_field_that_the_server_never_saw_is_in_the_head(site: Site) -> None:
    first = b"".join(await site.ask("/passed"))
    [again] = await site.again("/passed")
    field = b"cache-status: perfmw; fwd=uri-miss; detail=no-store\r\n"
    assert field in first
    head, _, body = again.partition(b"\r\n\r\n")
    assert (head + b"\r\n").endswith(b"\r\n" + field)
    assert head.lower().count(b"cache-status") == 1
    assert body == b"xxxxx"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nbody"])
async def test_what_is_not_just_a_head_is_left_as_it_is(head: bytes) -> None:
    wire = Wire()
    cycle = SimpleNamespace(transport=wire)

    async def send(message: Message) -> None:
        cycle.transport.write(head if message["type"] == "http.response.start" else b"more")

    start, body = {"type": "http.response.start"}, {"type": "http.response.body"}
    await send_both(cycle, send, start, body, b"x: y\r\n\r\n")
    assert wire.writes == [head + b"more"]


@pytest.mark.parametrize("path", ["/kept", "/passed"])
async def test_a_request_with_a_span_is_one_write_too(path: str) -> None:
    site = Site(HttpToolsProtocol, trace_ratio=1.0)
    [data] = await site.again(path)
    assert data.endswith(b"\r\n\r\nxxxxx")
    tracing = site.app.runtime.tracing
    assert tracing is not None
    assert len(tracing.traces.slow()) == 4
    await site.app.runtime.stop()


async def test_a_large_body_is_written_as_it_is(site: Site) -> None:
    head, body = await site.again("/large")
    assert head.endswith(b"\r\n\r\n")
    assert body == b"x" * (LARGEST + 1)


async def test_a_stream_begins_at_once(site: Site) -> None:
    site.pause.set()
    [head] = await site.again("/stream", wait=False)
    assert head.startswith(b"HTTP/1.1 200")
    site.pause.set()
    await settled()
    assert b"".join(site.wire.writes).endswith(b"xxxxx\r\n0\r\n\r\n")


async def test_a_head_waits_for_its_body_alone(site: Site) -> None:
    site.pause.set()
    assert await site.again("/late", wait=False) == []
    site.pause.set()
    await settled()
    [data] = site.wire.writes
    assert data.endswith(b"\r\n\r\nxxxxx")


async def test_who_closes_writes_first(site: Site) -> None:
    [data] = await site.again("/passed", "Connection: close\r\n")
    assert data.endswith(b"xxxxx")
    assert site.wire.closed


async def test_an_app_that_fails_before_its_body_is_a_500() -> None:
    """The client is told, instead of getting a head and no body."""
    site = Site(HttpToolsProtocol)
    for _ in range(3):
        await site.ask("/passed")
    held = site.app._held["GET http://shop.example/passed"]
    site.app._held["GET http://shop.example/raises"] = held  # a way through that is known
    data = b"".join(await site.ask("/raises"))
    assert data.startswith(b"HTTP/1.1 500")
    names = {one.name: one.metrics.error_rates.exceptions for one in site.app.runtime.profiles.snapshot()}
    assert sum(names.values()) == 1
    await site.app.runtime.stop()


async def test_a_client_that_went_away_is_no_trouble(site: Site) -> None:
    site.pause.set()
    assert await site.again("/late", wait=False) == []
    tasks = [*site._state.tasks]
    site.protocol.connection_lost(None)
    site.pause.set()
    await asyncio.wait(tasks)
    assert site.wire.writes == []


def test_a_cork_writes_what_waits_before_it_closes_or_passes_on() -> None:
    wire = Wire()
    cork = Cork(wire, [])
    cork.write(b"head")
    assert wire.writes == []
    assert cork.get_extra_info("peername") == ("127.0.0.1", 5)
    cork.close()
    assert wire.writes == [b"head"]
    assert wire.closed


def test_other_servers_are_left_as_they_are() -> None:
    class Other:
        transport = None

        async def send(self, message: Any) -> None: ...

    async def send(message: Any) -> None: ...

    assert cycle_of(send) is None
    assert cycle_of(Other().send) is None
