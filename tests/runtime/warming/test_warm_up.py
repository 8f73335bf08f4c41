"""Warming up an app in its process: through the cache, as nobody, by what the site tells of itself."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, Runtime, Settings
from perfmw.runtime.warming.warmer import Bounds
from perfmw.testing import Client

pytestmark = pytest.mark.anyio
ORIGIN = "http://testserver"
FAST = Bounds(rate=1e6)
asked: list[str] = []


async def page(request: Request) -> Response:
    asked.append(f"{request.url.path} {request.headers.get('accept-language', '')}".strip())
    headers = {"cache-control": "max-age=60", "vary": "accept-language"}
    return PlainTextResponse(f"page {request.path_params['id']}", headers=headers)


async def secret(request: Request) -> Response:
    return PlainTextResponse("mine", headers={"cache-control": "private"})


async def broken(request: Request) -> Response:
    raise ZeroDivisionError


async def away(request: Request) -> Response:
    return RedirectResponse("https://elsewhere.example/")


async def with_state(request: Request) -> Response:
    return PlainTextResponse(request.state.greeting, headers={"cache-control": "max-age=60"})


async def index(request: Request) -> Response:
    listed = "".join(
        f"<sitemap><loc>/{name}</loc></sitemap>" for name in ("one.xml.gz", "gone.xml", "index.xml")
    )
    return Response(f"<sitemapindex>{listed}</sitemapindex>", media_type="application/xml")


async def sitemap(request: Request) -> Response:
    urls = "".join(f"<url><loc>{ORIGIN}/pages/{number}</loc></url>" for number in (1, 2))
    text = f"<urlset>{urls}<url><loc>https://elsewhere.example/</loc></url></urlset>"
    return Response(gzip.compress(text.encode()), media_type="application/gzip")


async def openapi(request: Request) -> Response:
    parameter = {"name": "id", "in": "path", "required": True, "example": 9}
    paths = {"/pages/{id}": {"get": {"parameters": [parameter]}}, "/x/{id}": {"get": {}}}
    return JSONResponse({"openapi": "3.1.0", "paths": paths})


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
    yield {"greeting": "hello"}


def site(**settings: Any) -> PerfMiddleware:
    asked.clear()
    routes = {
        "/pages/{id}": page,
        "/secret": secret,
        "/broken": broken,
        "/away": away,
        "/state": with_state,
        "/index.xml": index,
        "/one.xml.gz": sitemap,
        "/openapi.json": openapi,
    }
    app = Starlette(routes=[Route(path, endpoint) for path, endpoint in routes.items()], lifespan=lifespan)
    return PerfMiddleware(app, settings=Settings.load(env={}, cwd="/", plugins=(), **settings))


async def warmed(runtime: Runtime, *arguments: Any, **more: Any) -> dict[str, Any]:
    """What a warm-up did."""
    assert (
        runtime.warm_up.start(*arguments, **{"origin": ORIGIN, "bounds": FAST, **more})["status"] == "running"
    )
    return await ended(runtime)


async def ended(runtime: Runtime) -> dict[str, Any]:
    result: dict[str, Any] = (await runtime.warm_up.wait())["result"]
    return result


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


@pytest.fixture
async def app() -> AsyncIterator[PerfMiddleware]:
    app = site()
    async with Client(app):
        yield app


async def test_what_was_warmed_is_a_hit_for_the_first_visitor(app: PerfMiddleware) -> None:
    result = await warmed(app.runtime, urls=["/pages/1", "/pages/2", "/pages/1"])
    assert (result["stored"], result["skipped"]) == (2, {"duplicate": 1})
    response = await Client(app).get("/pages/1")
    assert (response.header("cache-status") or "").startswith("perfmw; hit")
    assert asked == ["/pages/1", "/pages/2"]
    again = await warmed(app.runtime, urls=["/pages/1"])
    assert (again["stored"], again["fresh"]) == (0, 1)


async def test_it_counts_as_nobodys_traffic(app: PerfMiddleware) -> None:
    await warmed(app.runtime, urls=["/pages/1", "/pages/1?x=1", "/secret", "/broken"])
    await warmed(app.runtime, urls=["/pages/1"])
    assert app.runtime.status_counts().get("hit", 0) == 0
    assert sum(app.runtime.status_counts().values()) == 0
    whole = app.runtime.caching.statistics().whole
    assert (whole.hits, whole.misses) == (0, 0)


async def test_what_is_refused_says_why(app: PerfMiddleware) -> None:
    result = await warmed(app.runtime, urls=["/secret", "/broken", "/away", "/absent"])
    assert result["failed"] == {"raised ZeroDivisionError": 1}
    assert result["refused"] == {"private": 1, "no-freshness (307)": 1, "no-freshness (404)": 1}
    assert result["stored"] == 0
    assert len(result["examples"]) == 4


async def test_variants_are_asked_for_by_header_and_credentials_never(app: PerfMiddleware) -> None:
    await warmed(app.runtime, urls=["/pages/1"], headers=[(b"Accept-Language", b"de")])
    assert asked == ["/pages/1 de"]
    german = await Client(app).get("/pages/1", headers={"accept-language": "de"})
    assert "hit" in (german.header("cache-status") or "")
    for name in (b"Cookie", b"Authorization", b"Host"):
        with pytest.raises(ValueError, match="does not send"):
            app.runtime.warm_up.start(urls=["/"], origin=ORIGIN, headers=[(name, b"x")])
    with pytest.raises(ValueError, match="no header field"):
        app.runtime.warm_up.start(urls=["/"], origin=ORIGIN, headers=[(b"x", b"a\r\nb: c")])


async def test_a_sitemap_index_is_followed_and_its_gaps_are_told(app: PerfMiddleware) -> None:
    result = await warmed(app.runtime, ["sitemap:/index.xml"])
    assert sorted(asked) == ["/pages/1", "/pages/2"]
    assert (result["stored"], result["skipped"]) == (2, {"off-host": 1})
    assert [problem.split(": ", 1)[0] for problem in result["problems"]] == [
        "sitemap:/gone.xml",
        "sitemap:/index.xml",
    ]
    assert "it answered 404" in result["problems"][0]
    assert "duplicate" in result["problems"][1]


async def test_an_openapi_document_gives_what_can_be_known(app: PerfMiddleware) -> None:
    result = await warmed(app.runtime, ["openapi:/openapi.json"])
    assert asked == ["/pages/9"]
    assert "1 GET operations" in result["problems"][0]


async def test_a_file_and_one_that_is_not_there(app: PerfMiddleware, tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("# hot\n/pages/3\nhttp://testserver/pages/4\n")
    result = await warmed(app.runtime, [f"urls:{tmp_path}/urls.txt", f"urls:{tmp_path}/absent.txt"])
    assert result["stored"] == 2
    assert "absent.txt" in result["problems"][0]


async def test_the_app_sees_its_lifespans_state(app: PerfMiddleware) -> None:
    assert (await warmed(app.runtime, urls=["/state"]))["stored"] == 1


async def test_the_dashboard_is_no_page_of_the_site() -> None:
    app = site(dashboard="loopback", vitals_path="/vitals")
    async with Client(app):
        result = await warmed(app.runtime, urls=["/_perfmw/", "/_perfmw/metrics", "/vitals"])
    assert (result["asked"], result["skipped"]) == (0, {"closed": 3})


async def test_one_at_a_time_and_it_can_be_cancelled(app: PerfMiddleware) -> None:
    urls = [f"/pages/{number}" for number in range(100)]
    app.runtime.warm_up.start(urls=urls, origin=ORIGIN, bounds=Bounds(rate=20))
    with pytest.raises(RuntimeError, match="under way"):
        app.runtime.warm_up.start(urls=urls, origin=ORIGIN)
    await until(lambda: (app.runtime.warm_up.state()["result"] or {}).get("stored"))
    assert app.runtime.warm_up.cancel()
    result = await ended(app.runtime)
    assert result["stopped"] == "cancelled"
    assert 1 <= result["stored"] < 100
    assert not app.runtime.warm_up.cancel()


async def test_stopping_the_runtime_stops_it() -> None:
    app = site()
    async with Client(app):
        app.runtime.warm_up.start(urls=["/pages/1", "/pages/2"], origin=ORIGIN, bounds=Bounds(rate=0.1))
    assert not app.runtime.warm_up.running


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"sources": ["robots:/robots.txt"]}, "is no source"),
        ({"sources": ["sitemap:/sitemap.xml"]}, "say which site"),
        ({"sources": ["hottest"]}, "no hottest keys"),
        ({"urls": ["/"], "origin": "shop.example"}, "looks like"),
    ],
)
async def test_what_cannot_be_warmed_is_said_at_once(
    app: PerfMiddleware, arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        app.runtime.warm_up.start(**arguments)


async def test_without_an_app_there_is_nothing_to_ask() -> None:
    with pytest.raises(RuntimeError, match="no PerfMiddleware"):
        Runtime(Settings.load(env={}, cwd="/")).warm_up.start(urls=["/"], origin=ORIGIN)


# ---- at start


async def test_a_sitemap_is_warmed_at_start_once_the_app_can_answer() -> None:
    app = site(warm_up=["sitemap:/one.xml.gz"], warm_up_origin=f"{ORIGIN}/", warm_up_rate=1_000)
    async with Client(app):
        await until(lambda: app.runtime.warm_up.state()["result"])
        assert (await ended(app.runtime))["stored"] == 2


async def test_the_hottest_pages_of_before_are_there_after_a_restart(tmp_path: Path) -> None:
    settings = {"state_dir": str(tmp_path), "warm_up": ["hottest"], "warm_up_rate": 1_000}
    app = site(**settings)
    async with Client(app) as client:
        await client.get("/pages/5")
        app.runtime.caching.tick(1e9)
        for _ in range(3):
            await client.get("/pages/5")
    app = site(**settings)
    async with Client(app):
        await until(lambda: app.runtime.warm_up.state()["result"])
        assert (await ended(app.runtime))["stored"] == 1
        assert asked == ["/pages/5"]


async def test_wrong_settings_do_not_keep_the_app_from_starting(caplog: pytest.LogCaptureFixture) -> None:
    app = site(warm_up=["sitemap:/one.xml.gz"], cache_rules=[CacheRule(path="/secret", ttl=1)])
    async with Client(app) as client:
        assert (await client.get("/pages/1")).status == 200
        await until(lambda: "warm_up_origin" in caplog.text)


async def test_a_host_without_lifespan_is_warmed_after_its_first_request() -> None:
    app = site(warm_up=["openapi:/openapi.json"], warm_up_origin=ORIGIN)
    await Client(app).get("/secret")
    await until(lambda: app.runtime.warm_up.state()["result"])
    assert (await ended(app.runtime))["stored"] == 1
    await app.runtime.stop()


def test_the_scope_is_what_a_server_would_send() -> None:
    from perfmw.exchange.warming import _scope

    scope = _scope("https://shop.example/a%2Fb?x=1", [(b"accept", b"*/*")], {"a": 1})
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a/b", b"/a%2Fb", b"x=1")
    assert scope["headers"] == [(b"host", b"shop.example"), (b"accept", b"*/*")]
    assert json.dumps(scope["state"]) == '{"a": 1}'
    assert not ipaddress.ip_address(scope["client"][0]).is_loopback
