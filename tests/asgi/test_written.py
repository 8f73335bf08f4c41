"""The head of a response that uvicorn wrote, used again: byte for byte what uvicorn would write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from perfmw.asgi.written import WrittenHead, head_of
from tests.asgi.connection import Site

pytestmark = pytest.mark.anyio
KEY = "GET http://shop.example"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site(HttpToolsProtocol)
    yield site
    await site.app.runtime.stop()


def head_at(site: Site, path: str) -> WrittenHead | None:
    return site.app._held[KEY + path].head


async def test_it_is_what_the_server_writes(site: Site) -> None:
    [again] = await site.again("/passed")
    assert head_at(site, "/passed") is not None
    site.app._held[KEY + "/passed"].head = None  # the server is told
    [told] = await site.ask("/passed")
    assert again == told
    assert again.count(b"cache-status: perfmw; fwd=uri-miss; detail=no-store\r\n") == 1
    assert (await site.ask("/passed"))[0] == told  # the connection goes on


async def test_the_servers_own_fields_are_of_now(site: Site) -> None:
    await site.again("/passed")
    site.state.default_headers = [(b"date", b"Mon, 23 Nov 2026 18:19:01 GMT")]
    for _ in range(3):
        [data] = await site.ask("/passed")
        assert b"\r\ndate: Mon, 23 Nov 2026 18:19:01 GMT\r\n" in data
        assert b"server:" not in data


async def test_another_status_with_the_same_fields_has_a_head_of_its_own(site: Site) -> None:
    await site.again("/passed")
    for status in (404, 404, 404, 200, 404, 200):
        site.status = status
        assert (await site.ask("/passed"))[0].startswith(b"HTTP/1.1 %d " % status)


async def test_a_request_that_ends_the_connection_gets_told_so(site: Site) -> None:
    [data] = await site.again("/passed", "Connection: close\r\n")
    assert b"\r\nconnection: close\r\n" in data
    assert site.wire.closed


@pytest.mark.parametrize("body", [b"shorter"[:3], b"longer than it said"])
async def test_a_body_of_another_length_is_as_wrong_as_without(site: Site, body: bytes) -> None:
    await site.again("/passed")
    assert head_at(site, "/passed") is not None
    site.body = body
    data = b"".join(await site.ask("/passed"))
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert data.endswith(b"\r\n\r\nsho" if len(body) == 3 else b"\r\n\r\n")
    assert site.wire.closed


async def test_a_client_that_reads_slowly_is_waited_for(site: Site) -> None:
    await site.again("/passed")
    site.protocol.flow.pause_writing()
    assert await site.ask("/passed", wait=False) == []
    tasks = [*site.state.tasks]
    site.protocol.flow.resume_writing()
    for task in tasks:
        await task
    assert b"".join(site.wire.writes).endswith(b"\r\n\r\nxxxxx")


async def test_who_expects_100_continue_gets_none_after_the_response(site: Site) -> None:
    await site.again("/asks")
    assert head_at(site, "/asks") is not None
    data = b"".join(await site.ask("/asks", "Expect: 100-continue\r\n"))
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"100 Continue" not in data


async def test_another_protocol_is_always_told() -> None:
    site = Site(H11Protocol)
    [data] = await site.again("/passed")
    assert data.endswith(b"xxxxx")
    assert head_at(site, "/passed") is None
    await site.app.runtime.stop()


async def test_a_span_knows_the_status_of_a_response_whose_head_was_known() -> None:
    site = Site(HttpToolsProtocol, trace_ratio=0.5)
    tracing = site.app.runtime.tracing
    assert tracing is not None
    tracing.chance = 0.0
    await site.again("/passed")
    assert head_at(site, "/passed") is not None
    tracing.chance = 1.0
    await site.ask("/passed")
    assert [trace.status for trace in tracing.traces.slow()] == [200]
    await site.app.runtime.stop()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
OTHER = {"access_log": False, "default_headers": (), "disconnected": False, "flow": None, "keep_alive": True,
         "transport": None}  # fmt: skip
BEFORE = OTHER | {"response_started": False, "expected_content_length": 0, "chunked_encoding": None}
STARTED = {"response_started": True, "expected_content_length": 5, "chunked_encoding": False}


def learned(
    started: dict[str, Any] = STARTED, before: dict[str, Any] = BEFORE, written: tuple[bytes, ...] = (HEAD,)
) -> WrittenHead | None:
    """What is kept of a start that changed the request as it was ``before``."""
    return head_of(SimpleNamespace(**(before | started)), before, list(written))


def test_what_a_server_of_today_changes_is_known() -> None:
    assert learned() is not None


@pytest.mark.parametrize(
    "found",
    [
        learned(STARTED | {"phase": 2}),
        learned(STARTED | {"phase": 2}, BEFORE | {"phase": 1}),
        learned(STARTED | {"keep_alive": False}),
        learned(STARTED | {"chunked_encoding": True}),
        learned(STARTED | {"response_started": False}),
        learned(before={name: value for name, value in BEFORE.items() if name != "flow"}),
        learned(before=BEFORE | {"access_log": True}),
        learned(before=BEFORE | {"keep_alive": False}),
        learned(written=()),
        learned(written=(b"HTTP/1.1 200 OK\r\n", b"\r\n")),
        learned(written=(HEAD + b"hello",)),
    ],
)
def test_of_anything_else_no_head_is_kept(found: WrittenHead | None) -> None:
    assert found is None
