"""``perfmw proxy`` as a process: what it refuses, its two modes, and failures as clients see them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path

import pytest

from tests.asgi.wire import OK, Call, answer_ok, answering, origin
from tests.cli.conftest import COMMAND, Run, clean_env
from tests.conformance.client import fetch
from tests.conformance.engine import proxied

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ftp://a"], "is not the URL of an origin"),
        (["http://127.0.0.1:9/?x=1"], "is not the URL of an origin"),
        (["http://127.0.0.1:9", "--port", "70000"], "70000"),
        (["http://127.0.0.1:9", "--timeout", "0"], "0"),
        ([], "URL"),
    ],
)
def test_what_can_not_be_served_is_refused(run: Run, arguments: list[str], said: str) -> None:
    result = run("proxy", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr


def test_bad_settings_are_named(run: Run) -> None:
    result = run("proxy", "http://127.0.0.1:9", "--port", "0", env={"PERFMW_EVICTION_POLICY": "nosuch"})
    assert result.returncode == 2
    assert "nosuch" in result.stderr


COOKIE = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(("options", "shared"), [((), False), (("--rfc",), True)])
async def test_the_guards_hold_unless_the_rfc_alone_decides(options: tuple[str, ...], shared: bool) -> None:
    async with origin(answering(COOKIE)) as here, proxied(here, *options) as port:
        for _ in range(2):
            answer = await fetch(port, "GET", "/", [])
            assert answer.status == 200
        assert len(here.calls) == (1 if shared else 2)


async def test_dates_and_servers_are_the_origins() -> None:
    async with origin(answer_ok) as here, proxied(here) as port:
        answer = await fetch(port, "GET", "/", [])
        assert answer.all("date") == ["Thu, 01 Jan 2026 00:00:00 GMT"]
        assert answer.all("server") == []


async def test_a_short_response_is_no_complete_one_for_the_client() -> None:
    for raw in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ):
        async with origin(answering(raw, close=True)) as here, proxied(here) as port:
            answer = await fetch(port, "GET", "/", [])
            assert (answer.status, answer.complete) == (200, False)


async def test_an_origin_that_goes_is_answered_for_while_it_may() -> None:
    fresh = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=1\r\nContent-Length: 2\r\n\r\nok"
    async with origin(answering(fresh, close=True)) as here, proxied(here) as port:
        assert (await fetch(port, "GET", "/", [])).body == b"ok"
        here.close()
        assert (await fetch(port, "GET", "/other", [])).status == 502
        await asyncio.sleep(1.2)
        answer = await fetch(port, "GET", "/", [])
        assert (answer.status, answer.body) == (200, b"ok")
        assert "fwd=stale; fwd-status=502" in (answer.get("cache-status") or "")


async def test_a_slow_origin_is_a_504() -> None:
    async def script(call: Call) -> None:
        await asyncio.sleep(3)
        await call.send(OK)

    async with origin(script) as here, proxied(here, "--timeout", "0.3") as port:
        assert (await fetch(port, "GET", "/", [])).status == 504


async def test_a_client_that_leaves_ends_the_call() -> None:
    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await call.reader.read()
        call.writer.close()

    async with origin(script) as here, proxied(here) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"abc" in await reader.readuntil(b"abc")
        writer.close()
        await asyncio.wait_for(here.ended.wait(), 10)
        assert len(here.calls) == 1


def test_it_stops_when_it_is_told_to(tmp_path: Path) -> None:
    command = [*COMMAND, "proxy", "http://127.0.0.1:9", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=clean_env(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while "startup complete" not in (line := process.stderr.readline()):
            assert line, "it did not start"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert "Traceback" not in said
    assert process.returncode in (0, -signal.SIGTERM)
