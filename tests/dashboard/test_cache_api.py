"""The cache through the JSON API of a real runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, cached
from tests.dashboard.conftest import observed, open_client

pytestmark = pytest.mark.anyio
API = "/_perfmw/api/v1"
OWN = {"origin": "http://localhost", "content-type": "application/json"}


async def item(request: Request) -> Response:
    return JSONResponse({"id": request.path_params["id"]}, headers={"cache-control": "max-age=60"})


async def account(request: Request) -> Response:
    return PlainTextResponse("hello", headers={"x-api-key": "abc", "content-language": "en"})


@cached(namespace="api.load", tags=["loads"])
async def load(number: int) -> str:
    return f"result {number}"


@pytest.fixture
async def app() -> AsyncIterator[PerfMiddleware]:
    rules = [CacheRule(path="/account", ttl=60, vary=["cookie"])]
    site = Starlette(routes=[Route("/items/{id}", item), Route("/account", account)])
    async with observed(site, cache_rules=rules) as app:
        yield app


@pytest.fixture
async def client(app: PerfMiddleware) -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(app) as client:
        for _ in range(3):
            await client.get("/items/7?token=abc123")
        yield client


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(f"{API}/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def post(client: httpx.AsyncClient, path: str, **body: Any) -> httpx.Response:
    return await client.post(f"{API}/{path}", headers=OWN, json=body)


async def test_what_the_cache_did(client: httpx.AsyncClient) -> None:
    body = await get(client, "cache")
    [layer] = body["layers"]
    assert (layer["name"], layer["fills"]) == ("memory", 1)
    assert layer["left"] == {"capacity": 0, "expired": 0, "invalidated": 0, "replaced": 0}
    [route] = body["routes"]
    assert (route["name"], route["hits"], route["misses"]) == ("GET /items/{id}", 2, 1)
    assert route["hit_rate"] == pytest.approx(2 / 3)
    assert (route["hit_bytes"], route["stored_bytes"]) == (20, 10)
    assert route["seconds_saved"] is not None
    assert {use["name"] for use in body["namespaces"]} == {"http", "functions"}
    assert body["whole"]["hits"] == 2


async def test_keys_and_what_is_kept_without_what_is_secret(client: httpx.AsyncClient) -> None:
    [row] = (await get(client, "cache/keys"))["items"]
    assert row == {"key": "GET http://localhost/items/7?token=********", "layers": ["memory"]}
    [shown] = (await get(client, "cache/keys", prefix="http://localhost/items/", reveal="true"))["items"]
    key = shown["key"]
    assert key.endswith("token=abc123")
    entry = await get(client, "cache/entry", key=key)
    assert (entry["kind"], entry["response"]["status"]) == ("response", 200)
    assert entry["key"].endswith("token=********")
    assert "abc123" not in str(entry)
    assert "body" not in entry["response"]
    with_body = await get(client, "cache/entry", key=key.removeprefix("GET "), value="true")
    assert with_body["response"]["body"] == '{"id":"7"}'
    assert (await get(client, "cache/keys", prefix="absent"))["items"] == []


async def test_cookies_that_a_response_varies_on_are_hidden(client: httpx.AsyncClient) -> None:
    await client.get("/account", headers={"cookie": "sid=topsecret"})
    [url, variant] = [
        row["key"] for row in (await get(client, "cache/keys", prefix="http://localhost/account"))["items"]
    ]
    assert (await get(client, "cache/entry", key=url))["variants"] == [variant]
    entry = await get(client, "cache/entry", key=variant)
    assert entry["response"]["vary"] == {"cookie": "********"}
    assert ["x-api-key", "********"] in entry["response"]["headers"]
    assert "topsecret" not in f"{entry}{url}{variant}"
    assert "topsecret" in str(await get(client, "cache/entry", key=variant, reveal="true"))


async def test_results_of_functions_are_shown_when_asked_for(
    client: httpx.AsyncClient, app: PerfMiddleware
) -> None:
    app.runtime.enter()
    await load(1)
    [row] = (await get(client, "cache/keys", prefix="fn:api.load"))["items"]
    entry = await get(client, "cache/entry", key=row["key"])
    assert entry["tags"] == ["loads"]
    assert "value" not in entry
    assert "result 1" in (await get(client, "cache/entry", key=row["key"], value="true"))["value"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("cache/entry?key=absent", 404),
        ("cache/entry", 422),
        ("cache/keys?limit=0", 422),
        ("cache/keys?reveal=yes", 422),
    ],
)
async def test_questions_that_have_no_answer(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(f"{API}/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_purging_counts_removes_and_makes_stale(client: httpx.AsyncClient) -> None:
    counted = (await post(client, "cache/purge", prefix="http://localhost/items/", dry_run=True)).json()
    assert (counted["removed"], counted["dry_run"], counted["layers"]) == (1, True, {"memory": 1})
    soft = (await post(client, "cache/purge", prefix="http://localhost/items/", soft=True)).json()
    assert (soft["removed"], soft["soft"]) == (1, True)
    entry = await get(client, "cache/entry", key="http://localhost/items/7?token=abc123")
    assert entry["response"]["fresh_for"] <= 0
    gone = (await post(client, "cache/purge", keys=["http://localhost/items/7?token=abc123"])).json()
    assert gone["removed"] == 1
    assert (await get(client, "cache/keys"))["items"] == []
    assert (await post(client, "cache/purge", route="GET /items/{id}", tags=["a"])).status_code == 200


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "say what to purge"),
        ({"keys": []}, "say what to purge"),
        ({"key": "a"}, "unknown: key"),
        ({"keys": "a"}, "keys must be a list"),
        ({"keys": [1]}, "keys must be a text"),
        ({"prefix": "a", "soft": "yes"}, "soft must be true or false"),
        ({"url": "/items/7"}, "url must be absolute"),
    ],
)
async def test_a_purge_that_makes_no_sense(client: httpx.AsyncClient, body: Any, complaint: str) -> None:
    answer = await client.post(f"{API}/cache/purge", headers=OWN, json=body)
    assert (answer.status_code, complaint in answer.json()["detail"]) == (422, True)
    assert len((await get(client, "cache/keys"))["items"]) == 1


async def test_warming_up_and_what_came_of_it(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    assert (await get(client, "cache/warm"))["status"] == "idle"
    body = {"urls": ["/items/1", "/items/2", "https://elsewhere.example/"], "rate": 1_000}
    started = await post(client, "cache/warm", **body)
    assert (started.status_code, started.json()["origin"]) == (202, "http://localhost")
    await app.runtime.warm_up.wait()
    result = (await get(client, "cache/warm"))["result"]
    assert (result["stored"], result["skipped"]) == (2, {"off-host": 1})
    assert "hit" in (await client.get("/items/1")).headers["cache-status"]


async def test_a_warm_up_is_alone_and_can_be_stopped(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    body = {"urls": [f"/items/{number}" for number in range(100)], "rate": 1}
    assert (await post(client, "cache/warm", **body)).status_code == 202
    assert (await post(client, "cache/warm", **body)).status_code == 409
    assert (await post(client, "cache/warm/cancel")).status_code == 202
    await app.runtime.warm_up.wait()
    assert (await get(client, "cache/warm"))["result"]["stopped"] == "cancelled"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"urls": "a"},
        {"urls": [1]},
        {"sources": ["robots"]},
        {"sources": ["urls:/etc/passwd"]},
        {"urls": ["/"], "limit": 0},
        {"urls": ["/"], "rate": "fast"},
        {"urls": ["/"], "concurrency": 2.5},
        {"urls": ["/"], "origin": "shop.example"},
        {"urls": ["/"], "origin": 7},
        {"urls": ["/"], "headers": {"Cookie": "a=b"}},
        {"urls": ["/"], "headers": []},
        {"urls": ["/"], "surprise": True},
    ],
)
async def test_a_warm_up_that_makes_no_sense(client: httpx.AsyncClient, body: Any) -> None:
    answer = await client.post(f"{API}/cache/warm", headers=OWN, json=body)
    assert answer.status_code == 422, answer.text


async def test_nobody_else_may_change_anything(client: httpx.AsyncClient) -> None:
    for path in ("cache/purge", "cache/warm", "cache/warm/cancel"):
        answer = await client.post(f"{API}/{path}", json={"tags": ["a"], "urls": ["/"]})
        assert answer.status_code == 403


async def test_it_is_described(client: httpx.AsyncClient) -> None:
    paths = (await get(client, "openapi.json"))["paths"]
    assert "202" in paths["/cache/warm"]["post"]["responses"]
    assert "200" in paths["/cache/warm"]["get"]["responses"]
    names = [parameter["name"] for parameter in paths["/cache/entry"]["get"]["parameters"]]
    assert names == ["key", "value", "reveal"]
