"""Secrets of visitors show up nowhere: not on a page, nor in the API or in metrics."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, cached, tag
from perfmw.dashboard.api import ENDPOINTS
from perfmw.dashboard.pages import PAGES
from perfmw.testing import Client
from tests.dashboard.conftest import observed, open_client

pytestmark = pytest.mark.anyio
BASE = "/_perfmw"
OWN = {"origin": "http://localhost", "content-type": "application/json"}
SECRETS = {
    "cookie": "sid=COOKIE-4711",
    "authorization": "Bearer BEARER-4711",
    "x-api-key": "APIKEY-4711",
    "x-session-token": "SESSION-4711",
}
ADDRESS = "joe.4711@shop.example"
URL = f"/orders?token=QUERY-4711&mail={ADDRESS}"


async def orders(request: Request) -> Response:
    tag(f"user:{ADDRESS}")
    about = {"db.system.name": "sqlite", "db.query.text": f"SELECT * FROM orders WHERE mail = '{ADDRESS}'"}
    with request.app.state.tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT, attributes=about):
        await asyncio.sleep(0)
    told = {"link": f"</orders?token=LINK-4711&mail={ADDRESS}>; rel=next", "x-csrf-token": "CSRF-4711"}
    return PlainTextResponse("BODY-4711 orders", headers=told)


async def mine(request: Request) -> Response:
    await load(mail=ADDRESS, token="ARGUMENT-4711")
    return PlainTextResponse(
        "mine", 503 if "fail" in request.url.query else 200, {"set-cookie": "sid=SETCOOKIE-4711"}
    )


async def plain(request: Request) -> Response:
    return PlainTextResponse("ok", headers={"cache-control": "max-age=60"})


@cached(namespace="mail", tags=["user:{mail}"])
async def load(mail: str, token: str) -> str:
    return mail


@pytest.fixture
async def app() -> AsyncIterator[PerfMiddleware]:
    rules = [
        CacheRule(path="/orders", ttl=60, vary=["cookie", "authorization", "x-session-token"]),
        CacheRule(path="/mine/**", ttl=60),
    ]
    site = Starlette(routes=[Route("/orders", orders), Route("/mine/{mail}", mine), Route("/of/{x}", plain)])
    site.state.tracer = TracerProvider().get_tracer("shop")
    learnt = {"usage_pattern_learning": True, "predictive_prefetching": True}
    async with observed(site, cache_rules=rules, trace_ratio=1.0, **learnt) as app:
        yield app


@pytest.fixture
async def client(app: PerfMiddleware) -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(app) as client:
        for number in range(6):
            await client.get(URL, headers=SECRETS)
            await client.get(f"/mine/{ADDRESS}?code=CODE-4711&fail={number}", headers=SECRETS)
        yield client


async def everything(client: httpx.AsyncClient) -> AsyncIterator[tuple[str, str]]:
    paths = [path.removeprefix("/") for path in PAGES if "{" not in path] + ["metrics", "report?download=1"]
    paths += [f"api/v1{e.path}" for e in ENDPOINTS if e.method == "GET" and "{" not in e.path]
    profiles = (await client.get(f"{BASE}/api/v1/profiles?limit=1000")).json()["items"]
    traces = (await client.get(f"{BASE}/api/v1/traces")).json()
    for one in profiles:
        paths += [f"profile?id={one['id']}", f"api/v1/profiles/{one['id']}"]
    for one in [*traces["slow"], *traces["failed"]]:
        paths += [f"trace?id={one['trace_id']}", f"api/v1/traces/{one['trace_id']}"]
    assert traces["slow"]
    assert traces["failed"]
    for row in (await client.get(f"{BASE}/api/v1/cache/keys")).json()["items"]:
        paths.append(f"api/v1/cache/entry?{httpx.QueryParams(key=row['key'], value='true')}")
    for path in paths:
        if path != "api/v1/events":
            answer = await client.get(f"{BASE}/{path}")
            yield path, answer.text
    for url in (URL, f"/mine/{ADDRESS}"):
        body = {"url": url, "headers": SECRETS}
        told = (await client.post(f"{BASE}/api/v1/explain", headers=OWN, json=body)).json()
        assert told["status"] == 200
        yield f"explain {url}", str(told)


async def first_event(app: PerfMiddleware) -> str:
    visitor = Client(app, base_url="http://127.0.0.1")
    async with visitor.stream("GET", f"{BASE}/api/v1/events") as stream:
        text = b""
        while b"\n\n" not in text.partition(b"\ndata: ")[2]:
            text += (await stream.next() or {"body": b"\ndata: the stream ended\n\n"}).get("body", b"")
    assert b'"routes"' in text
    return text.decode()


async def test_they_show_up_nowhere(app: PerfMiddleware, client: httpx.AsyncClient) -> None:
    app.runtime.rounds.tick(2e9)
    looked = [(path, text) async for path, text in everything(client)]
    looked.append(("api/v1/events", await first_event(app)))
    assert sum(path.startswith("api/v1/cache/entry") for path, _ in looked) >= 3
    told = {
        path: found[0]
        for path, text in looked
        if (found := re.findall(r".{,60}(?:[A-Z]-|joe.)4711.{,9}", text))
    }
    assert told == {}


async def test_what_is_hidden_in_a_key_can_be_looked_at_and_purged(client: httpx.AsyncClient) -> None:
    for number in (1, 2, 3):
        await client.get(f"/of/x?token={number}")
    rows = (await client.get(f"{BASE}/api/v1/cache/keys?prefix=http://localhost/of/x")).json()["items"]
    assert [row["key"] for row in rows] == ["GET http://localhost/of/x?token=********"] * 3
    key = rows[0]["key"]
    entry = (await client.get(f"{BASE}/api/v1/cache/entry", params={"key": key})).json()
    assert (entry["key"], entry["alike"], entry["response"]["status"]) == (key, 3, 200)
    body = {"keys": [key], "dry_run": True}
    said = await client.post(f"{BASE}/api/v1/cache/purge", headers=OWN, json=body)
    assert said.json()["removed"] == 3
    await client.post(f"{BASE}/api/v1/cache/purge", headers=OWN, json={"keys": [key]})
    left = (await client.get(f"{BASE}/api/v1/cache/keys?prefix=http://localhost/of/x")).json()
    assert left["items"] == []


async def test_keys_come_in_pages(client: httpx.AsyncClient) -> None:
    for number in range(25):
        await client.get(f"/of/page{number:02}")
    url, seen = f"{BASE}/api/v1/cache/keys?prefix=http://localhost/of/page&limit=10", []
    for wanted in (True, True, False):
        answer = await client.get(url)
        seen += [row["key"][-2:] for row in answer.json()["items"]]
        assert answer.json()["more"] is wanted
        assert ("next" in answer.links) is wanted
        url = f"{BASE}/api/v1/cache/keys{answer.links['next']['url']}" if wanted else url
    assert seen == [f"{number:02}" for number in range(25)]
    beyond = await client.get(f"{BASE}/api/v1/cache/keys?offset=10000")
    assert beyond.status_code == 422
