"""The dashboard of a real runtime, reached through the middleware."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from perfmw import PerfMiddleware
from perfmw.contracts import OptimizationOpportunity, OptimizationStepResult
from perfmw.dashboard.api import ENDPOINTS
from tests.dashboard.conftest import observed, open_client

pytestmark = pytest.mark.anyio
OWN = {"origin": "http://localhost", "content-type": "application/json"}


async def item(request: Request) -> Response:
    return JSONResponse({"id": request.path_params["id"]}, headers={"cache-control": "max-age=60"})


@pytest.fixture
async def app() -> AsyncIterator[PerfMiddleware]:
    async with observed(Starlette(routes=[Route("/items/{id}", item)])) as app:
        yield app


@pytest.fixture
async def client(app: PerfMiddleware) -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(app) as client:
        for _ in range(3):
            await client.get("/items/7")
        yield client


async def test_everything_there_is_to_get(client: httpx.AsyncClient) -> None:
    special = {"/events", "/cache/entry"}  # a stream, and one that needs a key
    readable = [
        e.path for e in ENDPOINTS if e.method == "GET" and "{" not in e.path and e.path not in special
    ]
    pages = [
        "",
        "parts",
        "alerts",
        "plugins",
        "settings",
        "report",
        "report?download=1",
        "metrics",
        "healthz",
    ]
    for path in [*pages, *(f"api/v1{path}" for path in readable)]:
        answer = await client.get(f"/_perfmw/{path}")
        assert answer.status_code == 200, path
        assert "cache-status" not in answer.headers, "perfmw does not cache itself"


SERIES = {"/course", "/pools/history"}
"""Lists that are one series over time, as long as the window."""


async def test_every_answer_has_an_etag_and_every_list_pages(client: httpx.AsyncClient) -> None:
    special = {"/events", "/cache/entry"}
    unchanged = []
    for path in [e.path for e in ENDPOINTS if e.method == "GET" and "{" not in e.path]:
        if path in special:
            continue
        first = await client.get(f"/_perfmw/api/v1{path}")
        assert "etag" in first.headers, path
        etag = first.headers["etag"]
        again = await client.get(f"/_perfmw/api/v1{path}", headers={"if-none-match": f'"other", {etag}'})
        assert again.status_code == 304 or again.headers["etag"] != etag, path
        if again.status_code == 304:
            unchanged.append(path)
            assert again.content == b""
            assert again.headers["etag"] == etag
        body = first.json()
        if isinstance(body, dict) and "items" in body and path not in SERIES | {"/cache/keys"}:
            await pages_through(client, path, body)
    assert {"/rules", "/plugins", "/settings", "/panels", "/ledger", "/openapi.json"} <= set(unchanged)


async def pages_through(client: httpx.AsyncClient, path: str, whole: dict[str, Any]) -> None:
    url = f"/_perfmw/api/v1{path}"
    assert len(whole["items"]) == min(whole["total"], whole["limit"]), path
    one = await client.get(f"{url}?limit=1")
    assert len(one.json()["items"]) == min(1, whole["total"]), path
    assert ('rel="next"' in one.headers.get("link", "")) == (whole["total"] > 1), path
    beyond = await client.get(f"{url}?limit=1&offset=100000")
    assert beyond.json()["items"] == []
    assert 'rel="prev"' in beyond.headers["link"]
    wrong = await client.get(f"{url}?limit=0")
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json"), path


async def test_every_refusal_is_a_problem_document(client: httpx.AsyncClient) -> None:
    """Of every operation: what does not exist, what is no JSON or not the right one, the wrong method."""
    for endpoint in ENDPOINTS:
        url = f"/_perfmw/api/v1{re.sub('{[^}]*}', 'nothing', endpoint.path)}"
        asked = [client.request("PUT", url, headers=OWN, content=b"{}")]
        if endpoint.method == "POST":
            asked.append(client.post(url, headers=OWN, content=b"{not json"))
            asked.append(client.post(url, headers=OWN, content=b"[1]"))
            asked.append(client.post(url, headers={"origin": OWN["origin"]}, content=b"{}"))
            asked.append(client.post(url, headers={"content-type": "application/json"}, content=b"{}"))
        elif "{" in endpoint.path:
            asked.append(client.get(url))
        for answer in [await one for one in asked]:
            assert 400 <= answer.status_code < 500, (endpoint.method, url, answer.status_code, answer.text)
            assert answer.headers["content-type"] == "application/problem+json", url
            told = answer.json()
            assert told["status"] == answer.status_code
            assert told["title"]
            assert told["detail"]


async def test_a_route_shows_with_its_hits(client: httpx.AsyncClient) -> None:
    [row] = (await client.get("/_perfmw/api/v1/routes")).json()["items"]
    assert (row["name"], row["count"]) == ("GET /items/{id}", 3)
    assert row["hit_rate"] == pytest.approx(2 / 3)
    assert (await client.get(f"/_perfmw/api/v1/profiles/{row['id']}")).json()["name"] == row["name"]
    assert "/items/{id}" in (await client.get("/_perfmw/")).text


async def test_the_prefix_without_its_slash(client: httpx.AsyncClient) -> None:
    answer = await client.get("/_perfmw", follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, "/_perfmw/")


async def test_a_run_starts_and_is_known(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    body = {"dry_run": True, "block_seconds": 0.1}
    answer = await client.post("/_perfmw/api/v1/optimization/start", headers=OWN, json=body)
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    cancelled = await client.post("/_perfmw/api/v1/optimization/cancel", headers=OWN)
    assert cancelled.status_code == 202


async def test_a_kept_change_is_rolled_back(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    parameters = {"rule_id": "c1", "path": "/items/*", "ttl": 30.0}
    change = OptimizationOpportunity(
        "c1", "cache_route", "GET /items/{id}", "Cache the items", "cache_route", parameters
    )
    result = OptimizationStepResult("c1", True, verdict="kept", improvement=0.5, interval=(0.4, 0.6))
    entry = app.runtime.ledger.append("kept", change, who="user", why="faster", run="r", result=result)
    page = (await client.get("/_perfmw/")).text
    assert "Cache the items" in page
    assert "50\u202f% faster" in page
    url = f"/_perfmw/api/v1/ledger/{entry.id}/rollback"
    assert (await client.post(url, headers=OWN)).status_code == 200
    assert app.runtime.ledger.kept() == []
    assert (await client.post(url, headers=OWN)).status_code == 409


async def test_the_stream_of_a_real_runtime(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    from perfmw.dashboard import create_app

    feed = create_app(app.runtime).state.feed
    chunks = feed.listen()
    while not (chunk := await anext(chunks)).startswith(b"id:"):
        assert chunk.startswith(b"retry:")
    state = json.loads(chunk.split(b"data: ")[1])
    assert state["routes"]["items"][0]["name"] == "GET /items/{id}"
    assert state["running"] is False
    await app.runtime.stop()
    assert [rest async for rest in chunks] == [], "the stream ends with the runtime"


async def test_requests_for_the_dashboard_count_for_nothing_in_the_cache(
    app: PerfMiddleware, client: httpx.AsyncClient
) -> None:
    before = app.runtime.cache.infos()[0]
    for path in ("", "api/profiles", "api/caches", "nothing"):
        await client.get(f"/_perfmw/{path}")
    await client.get("/_perfmw/", headers={"cookie": "a=b"})
    after = app.runtime.cache.infos()[0]
    assert (after.hits, after.misses) == (before.hits, before.misses)
    await client.get("/items/8")
    assert app.runtime.cache.infos()[0].misses > after.misses
