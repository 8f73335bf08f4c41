"""Purges of responses: soft ones, dry runs, namespaces of pages, and the CDN before the app."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Settings, tag
from perfmw.contracts import Purge
from perfmw.runtime.entries import list_keys
from perfmw.testing import Client

pytestmark = pytest.mark.anyio
URL = "http://testserver/items/1"


class App:
    """Answers with how often it was asked."""

    def __init__(self, **headers: str) -> None:
        self.asked = 0
        self.failing = False
        self.headers = {"cache-control": "max-age=3600, stale-while-revalidate=600, stale-if-error=600"}
        self.headers |= {name.replace("_", "-"): value for name, value in headers.items()}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.asked += 1
        if self.failing:
            raise RuntimeError("down")
        tag(f"item:{scope['path'].rsplit('/')[-1]}")
        body = f"{scope['path']} {self.asked}".encode()
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def around(app: Any, plugins: Any = (), **settings: Any) -> tuple[Client, Any]:
    middleware = PerfMiddleware(app, Settings.load(env={}, plugins=[], **settings), plugins=plugins)
    return Client(middleware), middleware.runtime


def ttl(status: str | None) -> int:
    found = re.search(r"; hit.*ttl=(-?\d+)", status or "")
    assert found, f"{status} is no hit"
    return int(found[1])


async def until_asked(app: App, times: int) -> None:
    for _ in range(1_000):
        if app.asked >= times:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the app was not asked")


WAYS: list[dict[str, Any]] = [
    {"url": URL},
    {"tags": ["item:1"]},
    {"prefix": "http://testserver/items/"},
    {"keys": [f"GET {URL}"]},
]


@pytest.mark.parametrize("what", WAYS, ids=lambda what: next(iter(what)))
async def test_after_a_soft_purge_the_old_response_is_served_and_renewed(what: dict[str, Any]) -> None:
    app = App()
    client, runtime = around(app)
    assert (await client.get("/items/1")).text == "/items/1 1"
    assert ttl((await client.get("/items/1")).header("cache-status")) > 3_500
    await runtime.invalidate(**what, soft=True)
    stale = await client.get("/items/1")
    assert stale.text == "/items/1 1"
    assert "detail=revalidating" in (stale.header("cache-status") or "")
    await until_asked(app, 2)
    for _ in range(100):
        if (answer := await client.get("/items/1")).text == "/items/1 2":
            break
        await asyncio.sleep(0.001)
    assert (answer.text, app.asked) == ("/items/1 2", 2)
    assert ttl(answer.header("cache-status")) > 3_500
    await runtime.stop()


@pytest.mark.parametrize("what", WAYS, ids=lambda what: next(iter(what)))
async def test_after_a_hard_purge_it_is_not(what: dict[str, Any]) -> None:
    app = App()
    client, runtime = around(app)
    await client.get("/items/1")
    await runtime.invalidate(**what)
    assert (await client.get("/items/1")).text == "/items/1 2"
    await runtime.stop()


async def test_what_was_purged_softly_stands_in_for_an_app_that_fails() -> None:
    app = App(cache_control="max-age=3600, stale-if-error=600")
    client, runtime = around(app)
    await client.get("/items/1")
    await runtime.invalidate(tags=["item:1"], soft=True)
    app.failing = True
    answer = await client.get("/items/1")
    assert (answer.status, answer.text) == (200, "/items/1 1")
    await runtime.stop()


async def test_a_soft_purge_asks_the_app_whether_it_still_holds() -> None:
    seen: list[Any] = []
    inner = App(etag='"a"', cache_control="max-age=3600")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]).get(b"if-none-match"))
        if seen[-1] == b'"a"':
            await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", b'"a"')]})
            await send({"type": "http.response.body", "body": b""})
            return
        await inner(scope, receive, send)

    client, runtime = around(app)
    await client.get("/items/1")
    await runtime.invalidate(url=URL, soft=True)
    assert (await client.get("/items/1")).text == "/items/1 1"
    assert seen == [None, b'"a"']
    assert "; hit" in ((await client.get("/items/1")).header("cache-status") or "")
    await runtime.stop()


async def test_a_soft_purge_of_a_url_reaches_its_variants() -> None:
    app = App(vary="accept-language")
    client, runtime = around(app)
    for language in ("de", "en"):
        await client.get("/items/1", headers={"accept-language": language})
    counted = await runtime.invalidate(url=URL, dry_run=True)
    assert counted.layers == {"memory": 3}, "the list of variants, and each"
    await runtime.invalidate(url=URL, soft=True)
    for language in ("de", "en"):
        answer = await client.get("/items/1", headers={"accept-language": language})
        assert "detail=revalidating" in (answer.header("cache-status") or "")
    await runtime.stop()


async def test_a_purge_of_a_url_removes_what_its_dry_run_counted() -> None:
    client, runtime = around(App(vary="accept-language"))
    for language in ("de", "en"):
        await client.get("/items/1", headers={"accept-language": language})
    counted = await runtime.invalidate(url=URL, dry_run=True)
    assert await runtime.invalidate(url=URL) == counted == 3
    assert runtime.cache.memory is not None
    assert len(runtime.cache.memory) == 0
    await runtime.stop()


async def test_what_a_tag_made_invalid_is_not_listed() -> None:
    app = App()
    client, runtime = around(app)
    await client.get("/items/1")
    await runtime.cache.put("fn:one", 1, ttl=60, tags=["t"])
    await runtime.cache.put("fn:two", 2, ttl=60)
    await runtime.invalidate(tags=["t"])
    assert [row["key"] for row in await list_keys(runtime, "fn:")] == ["fn:two"]
    await runtime.stop()


async def test_a_dry_run_by_route_counts_without_touching() -> None:
    app = App()
    client, runtime = around(app)
    for number in range(4):
        await client.get(f"/items/{number}")
    [route] = {row.route for row in runtime.snapshot().routes if row.requests}
    counted = await runtime.invalidate(route=route, dry_run=True)
    assert (counted, counted.dry_run) == (4, True)
    assert "; hit" in ((await client.get("/items/1")).header("cache-status") or "")
    await runtime.invalidate(route=route)
    assert (await client.get("/items/1")).text == "/items/1 5"
    await runtime.stop()


# ---- namespaces


async def test_pages_and_api_have_their_own_caches() -> None:
    class Site(App):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            json = scope["path"].startswith("/api")
            self.headers["content-type"] = "application/json" if json else "text/html"
            await super().__call__(scope, receive, send)

    app = Site()
    namespaces = {"content": {"memory_max_entries": 2}, "api": {"memory_max_entries": 3}}
    client, runtime = around(app, namespaces=namespaces)
    for number in range(5):
        await client.get(f"/page/{number}")
        await client.get(f"/api/{number}")
    entries = {info.name: info.entries for info in runtime.spaces.infos()}
    assert entries == {"memory": 0, "content.memory": 2, "api.memory": 3}
    assert "; hit" in ((await client.get("/api/4")).header("cache-status") or "")
    assert "; hit" in ((await client.get("/page/4")).header("cache-status") or "")
    await client.post("/api/4")
    assert "; hit" not in ((await client.get("/api/4")).header("cache-status") or "")
    assert await runtime.invalidate(prefix="http://testserver/") == 5
    await runtime.stop()


async def test_a_url_that_changes_its_kind_is_kept_once() -> None:
    app = App(content_type="text/html")
    client, runtime = around(app, namespaces={"content": {}, "api": {}})
    await client.get("/x")
    app.headers["content-type"] = "application/json"
    await client.get("/x", headers={"cache-control": "no-cache"})
    entries = {info.name: info.entries for info in runtime.spaces.infos()}
    assert entries == {"memory": 0, "content.memory": 0, "api.memory": 1}
    assert (await client.get("/x")).text == "/x 2"
    await runtime.stop()


# ---- a CDN


class Edge:
    """A CDN as a plugin brings it."""

    name = "edge"
    limits = {"url": 10, "tag": 10, "prefix": 1}  # noqa: RUF012

    def __init__(self) -> None:
        self.purges: list[Purge] = []

    async def purge(self, purges: Any) -> None:
        self.purges += purges

    async def aclose(self) -> None:
        pass


class EdgePlugin:
    def __init__(self) -> None:
        self.edge = Edge()

    from perfmw import hookimpl

    @hookimpl
    def perfmw_register_purgers(self, settings: Any) -> Any:
        return {"edge": self.edge}


CDN = {"cache_control": "CDN-Cache-Control", "tags": "Cache-Tag"}


async def test_responses_carry_the_cdns_fields_from_the_first_on() -> None:
    app = App()
    client, runtime = around(app, cdn=CDN, cache_rules=[CacheRule(path="/items/*", tags=["shop"])])
    control = "max-age=3600, stale-while-revalidate=600, stale-if-error=600"
    for _ in range(3):
        answer = await client.get("/items/1")
        assert answer.header("cdn-cache-control") == control
        tags = set((answer.header("cache-tag") or "").split(","))
        assert {"item:1", "shop", "rule:/items/*"} < tags
        assert any(name.startswith("route:") for name in tags)
    slowly = await client.get("/items/1", headers={"range": "bytes=0-3"})
    assert (slowly.status, slowly.header("cdn-cache-control")) == (206, control)
    await runtime.stop()


async def test_a_304_carries_them_once() -> None:
    app = App(etag='"a"')
    client, runtime = around(app, cdn=CDN)
    await client.get("/items/1")
    for headers in ({"if-none-match": '"a"'}, {"if-none-match": '"a"', "cache-control": "max-stale"}):
        answer = await client.get("/items/1", headers=headers)
        assert answer.status == 304
        assert len(answer.header_lines("cdn-cache-control")) == 1
        assert len(answer.header_lines("cache-tag")) == 1
    await runtime.stop()


async def test_what_is_not_stored_carries_none() -> None:
    client, runtime = around(App(cache_control="private"), cdn=CDN)
    answer = await client.get("/items/1")
    assert (answer.header("cdn-cache-control"), answer.header("cache-tag")) == (None, None)
    await runtime.stop()


async def test_fields_for_the_cdn_are_no_part_of_what_is_validated() -> None:
    seen: list[Any] = []
    inner = App(etag='"a"', cache_control="max-age=3600")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]).get(b"if-none-match"))
        if seen[-1]:
            headers = [(b"etag", b'"a"'), (b"cache-control", b"max-age=5")]
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        await inner(scope, receive, send)

    client, runtime = around(app, cdn=CDN)
    await client.get("/items/1")
    await runtime.invalidate(url=URL, soft=True)
    answer = await client.get("/items/1")
    assert answer.header_lines("cdn-cache-control") == ["max-age=5"], "as the app said last"
    assert ttl((await client.get("/items/1")).header("cache-status")) <= 5
    await runtime.stop()


async def test_invalidations_reach_the_cdn() -> None:
    plugin = EdgePlugin()
    client, runtime = around(App(), plugins=[plugin])
    await client.get("/items/1")
    await runtime.invalidate(tags=["item:1"], prefix="http://testserver/blog/")
    await runtime.invalidate(url=URL, soft=True)
    await client.post("/items/2")
    await runtime.cdn.flush()
    assert set(plugin.edge.purges) == {
        Purge("tag", "item:1"),
        Purge("prefix", "http://testserver/blog/"),
        Purge("url", "http://testserver/items/1", True),
        Purge("url", "http://testserver/items/2"),
    }
    info = next(info for info in runtime.snapshot().layers if info.kind == "cdn")
    assert (info.name, info.written, info.queued) == ("cdn.edge", 4, 0)
    assert runtime.cache_managers()[0].layers.cdn_cache == info
    await runtime.stop()


async def test_what_waits_at_the_end_is_still_told() -> None:
    plugin = EdgePlugin()
    client, runtime = around(App(), plugins=[plugin])
    await client.get("/items/1")
    await runtime.invalidate(tags=["item:1"])
    await runtime.stop()
    assert plugin.edge.purges == [Purge("tag", "item:1")]


async def test_the_fields_go_over_a_socket() -> None:
    uvicorn = pytest.importorskip("uvicorn")
    middleware = PerfMiddleware(App(), Settings.load(env={}, plugins=[], cdn=CDN))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        host, port = listening.getsockname()
        server = uvicorn.Server(uvicorn.Config(middleware, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        heads = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /items/1 HTTP/1.1\r\nhost: testserver\r\nconnection: close\r\n\r\n")
            heads.append((await reader.read()).partition(b"\r\n\r\n")[0].lower())
            writer.close()
        server.should_exit = True
        await serving
    for head in heads:
        assert head.count(b"cdn-cache-control: max-age=3600, stale-while-revalidate=600") == 1
        assert b"cache-tag: item:1,route:" in head
    assert b"; hit" in heads[1]
    await middleware.runtime.stop()
