"""Refused at the door of a real uvicorn: who is, who is not, and that the connection stays in step."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from perfmw import PerfMiddleware, Settings, hookimpl
from perfmw.settings import Concurrency

uvicorn = pytest.importorskip("uvicorn")
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("http", ["httptools", "h11"])]

TIGHT: dict[str, Any] = {"least": 1, "initial": 1, "most": 1}
SETTINGS: dict[str, Any] = {
    "request_priorities": {"/vip": "high", "/low/**": "low"},
    "limits_exempt": ["/healthz"],
    "dashboard": "loopback",
}


class Site:
    """An app whose work is over when it is let go; ``/kept`` may be cached."""

    def __init__(self) -> None:
        self.going = asyncio.Event()
        self.begun: list[str] = []
        self.at_work = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.begun.append(scope["path"])
        if scope["path"].startswith("/work"):
            self.at_work.set()
            await self.going.wait()
        headers = [(b"content-length", b"2")]
        if scope["path"] == "/kept":
            headers.append((b"cache-control", b"max-age=60"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


class Line:
    """One connection, by bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, raw: bytes, *, body: bool = True) -> tuple[int, dict[str, str], bytes]:
        self.writer.write(raw)
        return await self.answer(body=body)

    async def answer(self, *, body: bool = True) -> tuple[int, dict[str, str], bytes]:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode()
        first, *lines = head.strip().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(fields["content-length"]) if body else 0
        return int(first.split()[1]), fields, await self.reader.readexactly(length)

    async def get(self, path: str, method: str = "GET", *fields: str) -> tuple[int, dict[str, str], bytes]:
        lines = [f"{method} {path} HTTP/1.1", "host: site", *fields, "", ""]
        return await self.ask("\r\n".join(lines).encode(), body=method != "HEAD")


class Served:
    """A site whose one place is taken, and which has refused somebody for that."""

    def __init__(self, app: Site, middleware: PerfMiddleware, port: int) -> None:
        self.app, self.middleware, self._port = app, middleware, port
        self._lines: list[Line] = []

    async def line(self) -> Line:
        self._lines.append(Line(*await asyncio.open_connection("127.0.0.1", self._port)))
        return self._lines[-1]

    def row(self) -> dict[str, Any]:
        assert self.middleware.runtime.limits is not None
        (row,) = self.middleware.runtime.limits.state()["groups"]
        return dict(row)

    async def crowd(self) -> None:
        await (await self.line()).get("/kept")
        worker = await self.line()
        worker.writer.write(b"POST /work HTTP/1.1\r\nhost: site\r\ncontent-length: 0\r\n\r\n")
        await self.app.at_work.wait()
        while self.row()["refused"]["normal"] < 1:  # those that go over the limit earn their way by ending
            other = await self.line()
            other.writer.write(b"POST /work HTTP/1.1\r\nhost: site\r\ncontent-length: 0\r\n\r\n")
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        for line in self._lines:
            line.writer.close()


@asynccontextmanager
async def served(http: str, lifespan: str = "on", **settings: Any) -> AsyncIterator[Served]:
    app = Site()
    plugins = settings.pop("given", [])
    bounds = Concurrency(**TIGHT, **settings.pop("bounds", {}))
    middleware = PerfMiddleware(
        app, Settings(concurrency_limit="on", concurrency=bounds, **{**SETTINGS, **settings}), plugins
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(middleware, log_level="critical", lifespan=lifespan, http=http)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        site = Served(app, middleware, listening.getsockname()[1])
        try:
            await site.crowd()
            yield site
        finally:
            app.going.set()
            await site.close()
            server.should_exit = True
            await serving
            await middleware.runtime.stop()


def door_of(site: Served, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that came past the door."""
    passed: list[str] = []
    limits = site.middleware.runtime.limits
    assert limits is not None
    place = limits.place

    def noted(scope: Any) -> Any:
        passed.append(scope["path"])
        return place(scope)

    monkeypatch.setattr(limits, "place", noted)
    return passed


@pytest.mark.parametrize("lifespan", ["on", "off"])
async def test_a_request_without_room_is_answered_before_it_is_one(
    http: str, lifespan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(http, lifespan) as site:
        passed = door_of(site, monkeypatch)
        line = await site.line()
        for number in range(3):
            status, fields, body = await line.get("/work", "POST", "content-length: 0")
            assert status == 503
            assert fields["cache-status"] == "perfmw; detail=overload"
            assert fields["content-type"] == "application/problem+json"
            assert fields["retry-after"] in "123"
            assert "date" in fields
            assert json.loads(body)["status"] == 503
            assert site.row()["refused"]["normal"] >= 2 + number
        assert passed == []
        counts = site.middleware.runtime.status_counts()
        assert counts["overload"] == site.row()["refused"]["normal"]


async def test_heads_have_no_body_and_last_requests_close(http: str) -> None:
    async with served(http) as site:
        line = await site.line()
        status, fields, _ = await line.get("/work", "HEAD")
        assert status == 503 or status == 200  # its first one may be let in to see what is there
        status, fields, body = await line.get(
            "/work", "POST", "content-length: 3\r\nconnection: close\r\n\r\nabc"
        )
        assert (status, fields["connection"]) == (503, "close")
        assert json.loads(body)["title"] == "Service Unavailable"
        assert await line.reader.read() == b""


async def test_what_is_exempt_cached_or_the_dashboards_is_answered(http: str) -> None:
    async with served(http) as site:
        line = await site.line()
        assert (await line.get("/work", "POST", "content-length: 0"))[0] == 503
        assert (await line.get("/healthz"))[0] == 200
        status, fields, _ = await line.get("/kept")
        assert status == 200
        assert "; hit" in fields["cache-status"]
        assert (await line.get("/_perfmw/api/v1/limits"))[0] == 401  # it wants this machine's own name


async def test_what_a_trusted_proxy_asks_for_is_looked_for_under_the_clients_scheme(
    http: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_proxy = ("x-forwarded-proto: https", "x-forwarded-for: 192.0.2.9")
    async with served(http) as site:
        line = await site.line()
        site.app.going.set()
        assert (await line.get("/kept", "GET", *by_proxy))[0] == 200
        site.app.going.clear()
        await site.crowd()
        assert (await line.get("/work", "POST", "content-length: 0", *by_proxy))[0] == 503
        status, fields, _ = await line.get("/kept", "GET", *by_proxy)
        assert (status, "; hit" in fields["cache-status"]) == (200, True)
        passed = door_of(site, monkeypatch)
        await line.get("/vip", "GET", "x-forwarded-host: other")
        assert passed == ["/vip"]


async def test_the_highest_class_goes_past_while_others_are_refused(http: str) -> None:
    async with served(http) as site:
        line = await site.line()
        assert (await line.get("/vip"))[0] == 200  # seen for the first time
        assert (await line.get("/work", "POST", "content-length: 0"))[0] == 503
        assert (await line.get("/vip"))[0] == 200
        assert (await line.get("/vip"))[0] == 200
        assert site.row()["refused"]["high"] == 0


class Members:
    @hookimpl
    def perfmw_request_priority(self, request: Any) -> str | None:
        return "high" if (b"x-member", b"1") in request.headers else None


async def test_a_plugin_says_who_goes_first(http: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(http, given=[Members()]) as site:
        passed = door_of(site, monkeypatch)
        line = await site.line()
        assert (await line.get("/other", "POST", "content-length: 0"))[0] == 503  # not of a known kind
        assert passed == ["/other"]
        assert (await line.get("/other", "POST", "content-length: 0"))[0] == 503
        assert passed == ["/other"]
        assert (await line.get("/other", "POST", "content-length: 0", "x-member: 1"))[0] == 200
        assert site.app.begun[-1] == "/other"


async def test_bytes_that_belong_to_a_request_under_way_are_no_request(http: str) -> None:
    """A field or a body that looks like a request must not be answered as one."""
    inner = b"POST /work HTTP/1.1\r\nhost: site\r\ncontent-length: 0\r\n\r\n"
    async with served(http) as site:
        line = await site.line()
        line.writer.write(b"POST /vip HTTP/1.1\r\nhost: site\r\nx-note: ")
        await line.writer.drain()
        await asyncio.sleep(0.05)
        status, _, _ = await line.ask(inner, body=False)
        assert status == 400 or site.app.begun[-1] == "/vip"
        line = await site.line()
        line.writer.write(b"POST /vip HTTP/1.1\r\nhost: site\r\ncontent-length: %d\r\n\r\n" % len(inner))
        assert (await line.answer())[0] == 200  # answered before its body is here
        line.writer.write(inner)
        await asyncio.sleep(0.05)
        refused = site.row()["refused"]["normal"]
        assert (await line.get("/vip", "POST", "content-length: 0"))[0] == 200
        assert site.row()["refused"]["normal"] == refused


async def test_it_can_be_left_out(http: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(http, bounds={"early": False}) as site:
        passed = door_of(site, monkeypatch)
        line = await site.line()
        assert (await line.get("/work", "POST", "content-length: 0"))[0] == 503
        assert passed == ["/work"]
