"""The head of a response that uvicorn wrote, used again: byte for byte what uvicorn would write."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from perfmw.asgi.written import Lesson, WrittenHead
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
    for _ in range(2):
        await site.ask("/passed")
    assert head_at(site, "/passed") is not None
    assert [trace.status for trace in tracing.traces.slow()] == [200, 200]
    await site.app.runtime.stop()


async def test_the_access_log_has_the_same_line(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(HttpToolsProtocol, access_log=True)
    caplog.set_level(logging.INFO, logger="uvicorn.access")
    for path in ("/passed?a=1", "/passed?b=2%20"):
        await site.again(path)
        assert head_at(site, path) is not None
        line = caplog.records[-1]
        site.app._held[KEY + path].head = None  # the server is told
        await site.ask(path)
        told = caplog.records[-1]
        assert line is not told
        assert (line.msg, line.args, line.levelno, line.name) == (
            told.msg,
            told.args,
            told.levelno,
            told.name,
        )
        assert "127.0.0.1:5" in told.getMessage()
        assert path in told.getMessage()
    assert len(caplog.records) == 2 * 5, "one for each request"
    head = head_at(site, "/passed?a=1")
    assert head is not None
    scope = {"path": "/other", "query_string": b"", "client": None}
    flow = SimpleNamespace(write_paused=False)
    other = SimpleNamespace(
        default_headers=site.state.default_headers, response_started=False, disconnected=False,
        keep_alive=True, flow=flow, access_log=True, scope=scope,
    )  # fmt: skip
    assert not head.begins(other)
    await site.app.runtime.stop()


async def test_a_server_that_tells_nothing_is_not_looked_at_for_ever() -> None:
    site = Site(H11Protocol)
    for _ in range(8):
        await site.ask("/passed")
    assert site.app._held[KEY + "/passed"].tries == 0
    await site.app.runtime.stop()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
OTHER = {"access_log": False, "access_logger": None, "default_headers": (), "disconnected": False,
         "flow": None, "keep_alive": True, "scope": {"client": ("::1", 5), "path": "/", "query_string": b""},
         "transport": None}  # fmt: skip
BEFORE = OTHER | {"response_started": False, "expected_content_length": 0, "chunked_encoding": None}
STARTED = {"response_started": True, "expected_content_length": 5, "chunked_encoding": False}


def learned(
    started: dict[str, Any] = STARTED,
    before: dict[str, Any] = BEFORE,
    written: tuple[bytes, ...] = (HEAD,),
    lines: tuple[tuple[Any, ...], ...] | None = None,
) -> WrittenHead | None:
    """What is kept of a start that changed the request as it was ``before`` and logged ``lines``."""
    log = SimpleNamespace(info=lambda *told: None)
    cycle = SimpleNamespace(**(before | {"access_logger": log, "access_log": lines is not None}))
    lesson = Lesson(cycle)
    for line in lines or ():
        cycle.access_logger.info(*line)
    vars(cycle).update(started)
    found = lesson.head(list(written))
    assert cycle.access_logger is log
    return found


def test_what_a_server_of_today_changes_is_known() -> None:
    assert learned() is not None
    assert learned(lines=(("%s %s", "::1:5", "GET"),)) is not None


@pytest.mark.parametrize(
    "found",
    [
        learned(STARTED | {"phase": 2}),
        learned(STARTED | {"phase": 2}, BEFORE | {"phase": 1}),
        learned(STARTED | {"keep_alive": False}),
        learned(STARTED | {"chunked_encoding": True}),
        learned(STARTED | {"response_started": False}),
        learned(before={name: value for name, value in BEFORE.items() if name != "flow"}),
        learned(before=BEFORE | {"keep_alive": False}),
        learned(written=()),
        learned(written=(b"HTTP/1.1 200 OK\r\n", b"\r\n")),
        learned(written=(HEAD + b"hello",)),
        learned(lines=()),
        learned(lines=(("%s", "::1:6"),)),
        learned(lines=(("%s", "::1:5"), ("%s", "::1:5"))),
        learned(lines=(("no client",),)),
    ],
)
def test_of_anything_else_no_head_is_kept(found: WrittenHead | None) -> None:
    assert found is None
