"""The event stream over a socket, through the middleware: whole, fresh, uncompressed, and resumed by id."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette

from perfmw import CacheRule, PerfMiddleware, Settings

pytestmark = pytest.mark.anyio
PATH = "/_perfmw/api/v1/events"


async def served(listener: socket.socket) -> AsyncIterator[None]:
    """A server on ``listener``, with a cache and compression that would take the stream if they could."""
    rules = [CacheRule(path="/**", ttl=600)]
    settings = Settings(dashboard="loopback", plugins=(), cache_rules=rules, compress_responses="all")
    app = PerfMiddleware(Starlette(), settings=settings)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
    running = asyncio.create_task(server.serve([listener]))
    yield
    server.should_exit = True
    await running


async def event(port: int, known: str = "") -> tuple[dict[str, str], str]:
    """The headers of a stream and the id of its first event."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    told = f"last-event-id: {known}\r\n" if known else ""
    request = f"GET {PATH} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip, zstd\r\n{told}\r\n"
    writer.write(request.encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    found = re.search(rb"id: (\S+)\n", await reader.readuntil(b"\nevent: state"))
    assert found is not None
    assert b"data: {" in await reader.readuntil(b'"taken_at"')
    writer.close()
    lines = [line.partition(": ") for line in head.splitlines()[1:] if line]
    return {name: value for name, _, value in lines}, found[1].decode()


async def test_it_is_never_cached_nor_compressed_and_outlives_a_restart() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async for _ in served(listener):
        headers, first = await event(port)
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-store, no-transform"
        assert not {"content-encoding", "content-length", "etag", "age", "cache-status"} & set(headers)
        _, second = await event(port)
        boot = first.partition("-")[0]
        assert second.startswith(f"{boot}-")
        _, third = await event(port, known=second)
        assert third != second
    async for _ in served(socket.create_server(("127.0.0.1", port))):
        _, after = await event(port, known=third)
        assert after.partition("-")[0] != boot, "another run: what was seen of the one before says nothing"
