"""The JSON API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from perfmw.dashboard.api import ENDPOINTS
from tests.dashboard.fake import EVIL, FakeRuntime, profile

pytestmark = pytest.mark.anyio
MakeClient = Callable[..., httpx.AsyncClient]
API = "/_perfmw/api/v1"
OWN = {"origin": "http://localhost", "content-type": "application/json"}


async def get(client: httpx.AsyncClient, path: str, status: int = 200) -> Any:
    answer = await client.get(f"{API}/{path}")
    assert answer.status_code == status, answer.text
    expected = "application/json" if status == 200 else "application/problem+json"
    assert answer.headers["content-type"] == expected
    return answer.json()


async def test_the_overview(client: httpx.AsyncClient) -> None:
    body = await get(client, "overview")
    assert body["overview"]["cache_hit_rate"]["value"] == 71.3
    assert body["optimization"]["status"] == "idle"
    assert body["cache_status"]["uri-miss"] == 8_001


async def test_routes_by_total_time_in_pages(client: httpx.AsyncClient) -> None:
    body = await get(client, "routes?limit=2&offset=1")
    assert (body["total"], body["limit"], body["offset"]) == (8, 2, 1)
    assert [row["name"] for row in body["items"]] == ["GET /api/prices/{sku}", "GET /products/{id}"]
    row = body["items"][0]
    assert (row["errors"], row["count"], row["hit_rate"]) == (3, 12_904, 0.0)
    assert row["total"] == pytest.approx(0.093 * 1.3 * 12_904)


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1001", "offset=-1", "limit=²", "offset=1e3"])
async def test_a_bad_page_is_named(client: httpx.AsyncClient, query: str) -> None:
    problem = await get(client, f"routes?{query}", 422)
    assert problem["detail"].startswith(query.partition("=")[0])


async def test_profiles(make_client: MakeClient) -> None:
    query = profile("SELECT * FROM items", id="a/b c", type="query")
    async with make_client(FakeRuntime([profile("GET /", id="x"), query])) as client:
        assert (await get(client, "profiles"))["total"] == 2
        assert (await get(client, "profiles?type=query"))["items"][0]["name"] == query.name
        assert (await get(client, "profiles/a%2Fb%20c"))["metrics"]["latency"]["count"] == 1_000
        assert (await get(client, "routes"))["total"] == 1
        assert "nothing" in (await get(client, "profiles/nothing", 404))["detail"]
        assert "component" in (await get(client, "profiles?type=route", 422))["detail"]


async def test_layers_pools_rules_plugins(client: httpx.AsyncClient) -> None:
    layers = await get(client, "layers")
    assert layers["items"][0]["name"] == "memory"
    assert [reason["word"] for reason in layers["reasons"]] == [
        "no-freshness",
        "uri-miss",
        "cookie",
        "method",
    ]
    assert (await get(client, "pools"))["items"][0]["unit"] == "cores"
    assert (await get(client, "rules"))["items"][0]["ttl"] == 60
    assert (await get(client, "plugins"))["items"][0]["name"] == "built-in"


async def test_settings_hide_the_token(make_client: MakeClient) -> None:
    async with make_client(FakeRuntime(dashboard_token="top-secret-word")) as client:
        answer = await client.get(f"{API}/settings")
    assert "top-secret-word" not in answer.text
    values = {item["name"]: item for item in answer.json()["items"]}
    shown = values["dashboard"]
    assert (shown["value"], shown["origin"]) == ("loopback", "keyword")
    assert shown["doc"].startswith("Who sees the dashboard")
    assert values["dashboard_token"]["value"].strip("*") == ""


async def test_an_optimization_starts_once(client: httpx.AsyncClient, runtime: FakeRuntime) -> None:
    body = {"level": "advanced", "max_steps": 2, "block_seconds": 0.5, "types": ["cache_route"]}
    answer = await client.post(f"{API}/optimization/start", headers=OWN, json=body)
    assert answer.status_code == 202
    assert answer.json()["status"] == "running"
    request, target = runtime.started[0]
    assert (request.level, request.max_steps, request.block_seconds) == ("advanced", 2, 0.5)
    assert (request.types, request.requested_by, target) == (("cache_route",), "dashboard", None)
    again = await client.post(f"{API}/optimization/start", headers=OWN)
    assert again.status_code == 409
    assert "under way" in again.json()["detail"]
    stopped = await client.post(f"{API}/optimization/cancel", headers=OWN)
    assert (stopped.status_code, stopped.json()["status"]) == (202, "idle")


async def test_one_profile_can_be_optimized(client: httpx.AsyncClient, runtime: FakeRuntime) -> None:
    target = runtime.profiles_list[2].id
    answer = await client.post(f"{API}/optimization/start", headers=OWN, json={"profile_id": target})
    assert answer.status_code == 202
    assert runtime.started[0][1] == target
    runtime.cancel_optimization()
    missing = await client.post(f"{API}/optimization/start", headers=OWN, json={"profile_id": "no"})
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 422, "object"),
        (b'{"level": "reckless"}', 422, "level"),
        (b'{"max_steps": 0}', 422, "max_steps"),
        (b'{"blocks": 1e9}', 422, "blocks"),
        (b'{"blocks": true}', 422, "blocks"),
        (b'{"block_seconds": -1}', 422, "block_seconds"),
        (b'{"requested_by": "me"}', 422, "requested_by"),
        (b'{"profile_id": 7}', 422, "profile_id"),
        (b'"' + b"x" * 70_000 + b'"', 422, "larger"),
    ],
)
async def test_a_bad_start_names_what_is_wrong(
    client: httpx.AsyncClient, runtime: FakeRuntime, body: bytes, status: int, word: str
) -> None:
    answer = await client.post(f"{API}/optimization/start", headers=OWN, content=body)
    assert answer.status_code == status
    assert word in answer.json()["detail"]
    assert runtime.started == []


async def test_a_change_in_force_can_be_rolled_back_once(
    client: httpx.AsyncClient, runtime: FakeRuntime
) -> None:
    assert [row["standing"] for row in (await get(client, "ledger"))["items"]] == [True, False, False]
    answer = await client.post(f"{API}/ledger/3/rollback", headers=OWN)
    assert answer.json() == {"id": "3", "rolled_back": True}
    assert runtime.rolled_back == [3]
    assert (await client.post(f"{API}/ledger/3/rollback", headers=OWN)).status_code == 409
    assert (await client.post(f"{API}/ledger/99/rollback", headers=OWN)).status_code == 404


async def test_a_rollback_that_fails_says_why(
    client: httpx.AsyncClient, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(entry_id: int) -> None:
        raise LookupError("optimizer 'cache_route' is not installed")

    monkeypatch.setattr(runtime, "rollback", gone)
    answer = await client.post(f"{API}/ledger/3/rollback", headers=OWN)
    assert answer.status_code == 409
    assert "not installed" in answer.json()["detail"]


async def test_the_report_is_a_download(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{API}/report")
    assert answer.headers["content-disposition"].endswith('.json"')
    body = answer.json()
    assert len(body["routes"]) == 8
    assert body["ledger"][0]["after"]["p95"] == 0.402


async def test_what_is_not_there_is_a_problem_document(client: httpx.AsyncClient) -> None:
    assert "/_perfmw/api/v1/nothing" in (await get(client, "nothing", 404))["detail"]
    answer = await client.post(f"{API}/routes", headers=OWN)
    assert (answer.status_code, answer.json()["status"]) == (405, 405)


async def test_an_error_of_ours_does_not_reach_the_host_nor_tell_the_client(
    client: httpx.AsyncClient, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a secret of the server")

    monkeypatch.setattr(runtime, "overview", broken)
    answer = await client.get(f"{API}/overview")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_openapi_describes_every_operation(client: httpx.AsyncClient) -> None:
    body = await get(client, "openapi.json")
    assert body["servers"] == [{"url": "/_perfmw/api/v1"}]
    operations = {(method.upper(), path) for path, item in body["paths"].items() for method in item}
    assert len(operations) == len(ENDPOINTS)
    assert ("POST", "/ledger/{id}/rollback") in operations
    start = body["paths"]["/optimization/start"]["post"]
    assert "max_steps" in start["requestBody"]["content"]["application/json"]["schema"]["properties"]
    rollback = body["paths"]["/ledger/{id}/rollback"]["post"]
    assert rollback["parameters"] == [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    ]


async def test_openapi_is_what_its_validator_accepts(client: httpx.AsyncClient) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    body = await get(client, "openapi.json")
    validator.validate(body)
    names = [one["operationId"] for item in body["paths"].values() for one in item.values()]
    assert len(names) == len(set(names))


async def test_json_is_never_sniffed_into_html(make_client: MakeClient) -> None:
    async with make_client(FakeRuntime([profile(EVIL, id="x")])) as client:
        answer = await client.get(f"{API}/routes", headers={"accept": "text/html"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["items"][0]["name"] == EVIL


async def test_a_refused_method_is_told_all_that_there_are(client: httpx.AsyncClient) -> None:
    described = (await client.get(f"{API}/openapi.json")).json()["paths"]
    for path, operations in described.items():
        asked = path.replace("{id}", "1")
        refused = await client.request("OPTIONS", f"{API}{asked}")
        assert refused.status_code == 405, path
        allowed = {one.strip() for one in refused.headers["allow"].split(",")} - {"HEAD"}
        assert {one.upper() for one in operations} <= allowed, path


async def test_the_description_says_what_must_be_sent(client: httpx.AsyncClient) -> None:
    described = (await client.get(f"{API}/openapi.json")).json()["paths"]
    operations = [one for path in described.values() for one in path.values()]
    bodies = [one["requestBody"] for one in operations if "requestBody" in one]
    assert len(bodies) > 20
    assert all(body["required"] for body in bodies)
    (key,) = [one for one in described["/cache/entry"]["get"]["parameters"] if one["name"] == "key"]
    assert key["required"]
    created = {path for path, one in described.items() if "201" in one.get("post", {}).get("responses", {})}
    assert {"/profiles", "/resources", "/annotations", "/alerts/silences"} <= created
