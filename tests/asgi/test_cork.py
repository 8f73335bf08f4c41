"""One write for head and body, on uvicorn's own protocols; everything else as without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from perfmw.asgi.cork import LARGEST, Cork, cycle_of
from tests.asgi.connection import Site, Wire, settled

pytestmark = pytest.mark.anyio
PROTOCOLS = [HttpToolsProtocol, H11Protocol]


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
    tasks = [*site.state.tasks]
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
