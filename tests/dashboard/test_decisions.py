"""Single changes are tried, approved and refused; the switch; limits and forecasts; what the API promises."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import PerfMiddleware
from perfmw.contracts import (
    Controls,
    OptimizationOpportunity,
    OptimizationRecommendation,
    RuntimeSnapshot,
)
from perfmw.dashboard.api import ENDPOINTS
from perfmw.dashboard.figures import duration
from perfmw.dashboard.report_files import make
from perfmw.optimization.survey import Survey
from tests.dashboard.conftest import observed, open_client

pytestmark = pytest.mark.anyio
API = "/_perfmw/api/v1"
OWN = {"origin": "http://localhost", "content-type": "application/json"}
SOON = {"blocks": 2, "block_seconds": 0.05}


async def page(request: Request) -> Response:
    return PlainTextResponse("hello")


@pytest.fixture
async def app() -> AsyncIterator[PerfMiddleware]:
    quotas = [{"name": "visitors", "scope": "application", "limit": 1_000, "window": 60}]
    site = Starlette(routes=[Route("/{n}", page)])
    async with observed(site, concurrency_limit="observe", quotas=quotas) as app:
        yield app


@pytest.fixture
async def client(app: PerfMiddleware) -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(app) as client:
        for n in range(3):
            await client.get(f"/{n}")
        yield client


def waits(app: PerfMiddleware, name: str = "o1") -> int:
    opportunity = OptimizationOpportunity(
        id=name, type="cache_route", target="GET /{n}", title=f"Cache {name}", optimizer="absent"
    )
    return app.runtime.ledger.append("waiting", opportunity, who="test", why="waits for approval").id


async def post(client: httpx.AsyncClient, path: str, body: object = None) -> httpx.Response:
    return await client.post(f"{API}{path}", headers=OWN, json=body or {})


async def test_what_waits_is_shown_and_refused_once(app: PerfMiddleware, client: httpx.AsyncClient) -> None:
    entry = waits(app)
    shown = (await client.get("/_perfmw/optimization")).text
    assert "Waiting for approval" in shown
    assert f"api/v1/ledger/{entry}/approve" in shown
    assert (await client.get(f"{API}/waiting")).json()["items"][0]["title"] == "Cache o1"
    assert (await post(client, f"/ledger/{entry}/reject")).status_code == 202
    assert (await client.get(f"{API}/waiting")).json()["total"] == 0
    last = app.runtime.ledger.entries()[-1]
    assert (last.kind, last.who) == ("rejected", "dashboard")
    again = await post(client, f"/ledger/{entry}/reject")
    assert (again.status_code, "already" in again.json()["detail"]) == (409, True)
    assert "Waiting for approval" not in (await client.get("/_perfmw/optimization")).text


async def test_what_is_approved_is_tried_in_the_background(
    app: PerfMiddleware, client: httpx.AsyncClient
) -> None:
    entry = waits(app)
    answer = await post(client, f"/ledger/{entry}/approve", SOON)
    assert (answer.status_code, answer.json()["approved"]) == (202, True)
    for _ in range(100):
        if any(one.kind == "approved" for one in app.runtime.ledger.entries()):
            break
        await asyncio.sleep(0.02)
    assert "approved" in {one.kind for one in app.runtime.ledger.entries()}
    assert (await client.get(f"{API}/waiting")).json()["total"] == 0


@pytest.mark.parametrize("verb", ["approve", "reject"])
@pytest.mark.parametrize(("entry", "status"), [("77", 404), ("x", 404), ("9" * 20, 404)])
async def test_an_entry_that_is_not_there(
    client: httpx.AsyncClient, verb: str, entry: str, status: int
) -> None:
    assert (await post(client, f"/ledger/{entry}/{verb}")).status_code == status


async def test_an_entry_that_does_not_wait(app: PerfMiddleware, client: httpx.AsyncClient) -> None:
    entry = waits(app)
    one = app.runtime.ledger.entry(entry).opportunity
    proposed = app.runtime.ledger.append("approved", one, who="test", why="")
    for verb in ("approve", "reject"):
        assert (await post(client, f"/ledger/{proposed.id}/{verb}")).status_code == 409


@pytest.mark.parametrize("verb", ["try", "reject"])
async def test_an_opportunity_that_is_gone(client: httpx.AsyncClient, verb: str) -> None:
    answer = await post(client, f"/opportunities/none/{verb}")
    assert (answer.status_code, "any more" in answer.json()["detail"]) == (404, True)


async def test_the_switch(app: PerfMiddleware, client: httpx.AsyncClient) -> None:
    assert 'aria-checked="false"' in (await client.get("/_perfmw/optimization")).text
    assert (await post(client, "/optimization/automatic", {"on": True})).json() == {"on": True}
    assert app.runtime.optimizing.automatic
    assert 'aria-checked="true"' in (await client.get("/_perfmw/optimization")).text
    assert (await post(client, "/optimization/automatic", {"on": "yes"})).status_code == 422
    assert (await post(client, "/optimization/automatic", {"on": False})).json() == {"on": False}
    assert not app.runtime.optimizing.automatic


async def test_limits_quotas_and_the_forecast(client: httpx.AsyncClient) -> None:
    limits = (await client.get(f"{API}/limits")).json()
    assert limits["mode"] == "observe"
    assert limits["groups"][0]["limit"] >= 1
    assert limits["quotas"][0]["allowed"] >= 3
    forecast = (await client.get(f"{API}/forecast")).json()
    assert {"rate", "expected", "interval", "advice"} <= set(forecast)
    text = (await client.get("/_perfmw/resources")).text
    for word in ("visitors", "Limits and quotas", "Forecast", "observe"):
        assert word in text


async def test_who_was_refused_by_a_quota_stands_beside_it(client: httpx.AsyncClient) -> None:
    for _ in range(1_000):
        await client.get("/1")
    quota = (await client.get(f"{API}/limits")).json()["quotas"][0]
    refused = quota["refused"]
    assert refused >= 3
    assert [one["refused"] for one in quota["heaviest"]] == [refused]
    text = (await client.get("/_perfmw/resources")).text
    assert f'<span class="path">{quota["heaviest"][0]["key"]}</span> {refused}</td>' in text


async def test_an_answer_that_is_known_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get(f"{API}/rules")
    etag = first.headers["etag"]
    assert etag.startswith('W/"')
    for known in (etag, f'"other", {etag}', etag.removeprefix("W/"), "*"):
        again = await client.get(f"{API}/rules", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag), known
    for other in ('"other"', "", 'W/"x"'):
        assert (await client.get(f"{API}/rules", headers={"if-none-match": other})).status_code == 200
    plain = await client.get(f"{API}/openapi.json", headers={"accept-encoding": "identity"})
    zipped = await client.get(f"{API}/openapi.json", headers={"accept-encoding": "gzip"})
    assert plain.headers["etag"] == zipped.headers["etag"]
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.compress(plain.content)[:2] == b"\x1f\x8b"
    assert zipped.json() == plain.json()


async def test_pages_are_linked(client: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c", "d"):
        await post(client, "/profiles", {"name": name, "type": "workflow"})
    seen: list[str] = []
    url = f"{API}/profiles?type=workflow&limit=2"
    for _ in range(10):
        answer = await client.get(url)
        seen += [one["name"] for one in answer.json()["items"]]
        if "next" not in answer.links:
            break
        url = str(answer.url.join(answer.links["next"]["url"]))
    assert sorted(seen) == ["a", "b", "c", "d"]
    assert answer.links["prev"]["url"].endswith("offset=0")
    assert "type=workflow" in answer.links["prev"]["url"]


async def test_the_description_is_whole(client: httpx.AsyncClient) -> None:
    api = (await client.get(f"{API}/openapi.json")).json()
    known = {(path, method) for path, operations in api["paths"].items() for method in operations}
    assert known == {(e.path.replace(":path}", "}"), e.method.lower()) for e in ENDPOINTS}
    ids = [one["operationId"] for operations in api["paths"].values() for one in operations.values()]
    assert len(ids) == len(set(ids))
    for (path, method), endpoint in zip(sorted(known), sorted(known), strict=True):
        operation = api["paths"][path][method]
        named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}, endpoint
        assert operation["summary"]
        assert {"401", "default"} < set(operation["responses"])
        assert ("requestBody" in operation) == (method == "post"), path
        assert all("schema" in one for one in operation["parameters"])


async def test_every_refusal_is_a_problem_document(client: httpx.AsyncClient) -> None:
    for endpoint in ENDPOINTS:
        path = f"{API}{endpoint.path.replace('{id}', 'none').replace('{id:path}', 'none')}"
        wrong = "PUT" if endpoint.method == "POST" else "DELETE"
        for method, headers in ((wrong, OWN), (endpoint.method if endpoint.method == "POST" else wrong, {})):
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code in (403, 404, 405, 415), (method, path)
            assert answer.headers["content-type"] == "application/problem+json"
            told = answer.json()
            assert {"type", "title", "status", "detail"} == set(told)
            assert told["status"] == answer.status_code


async def test_what_concerns_no_single_route_is_told_too(
    client: httpx.AsyncClient, app: PerfMiddleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Advice, and what could be tried, of all requests together: ranked by the time it would save a day."""
    advice = OptimizationRecommendation(
        "Compress what is stored", "Bodies are large.", 'Settings(compress_responses="shared")', 7_200.0
    )
    small = OptimizationRecommendation("Ask once", "It looks like N+1.", target="SELECT 1")
    tried = OptimizationOpportunity("o1", "coalescing", "all", "Ask the app once", "switches")
    monkeypatch.setattr(app.runtime.engine, "survey", lambda: iter(()))
    app.runtime.engine.surveyed = Survey([tried], [], [advice, small])
    found = (await client.get(f"{API}/recommendations")).json()
    assert [one["title"] for one in found["items"]] == ["Compress what is stored", "Ask once"]
    assert found["items"][0]["saved_seconds_per_day"] == 7_200.0
    assert [one["id"] for one in (await client.get(f"{API}/opportunities")).json()["items"]] == ["o1"]
    html = (await client.get("/_perfmw/optimization")).text
    assert "Ask the app once" in html
    for kind, url in (("page", "/_perfmw/optimization"), ("report", "/_perfmw/report")):
        text = (await client.get(url)).text
        assert "Settings(compress_responses=&#34;shared&#34;)" in text, kind
        assert f"saves about {duration(7_200.0)} a day" in text, kind
    report = await asyncio.to_thread(make, app.runtime)
    assert "## What to do" in report.markdown
    printed = report.html.decode().partition("@media print")[2]
    assert "pre { white-space: pre-wrap;" in printed, "what is to be pasted is not cut off on paper"
    assert '```\nSettings(compress_responses="shared")\n```' in report.markdown


class Idle:
    """An optimizer whose changes change nothing."""

    name = "absent"

    def propose(self, snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        return ()

    def apply(self, opportunity: OptimizationOpportunity, controls: Controls) -> None: ...

    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None: ...


async def test_no_run_begins_while_what_was_approved_is_on_trial(
    app: PerfMiddleware, client: httpx.AsyncClient
) -> None:
    app.runtime.engine.optimizers["absent"] = Idle()
    await post(client, f"/ledger/{waits(app)}/approve", SOON)
    for _ in range(500):
        if app.runtime.optimization_state()["status"] == "running":
            break
        await asyncio.sleep(0.01)
    begun = await post(client, "/optimization/start", SOON)
    assert begun.status_code == 409
    assert "under way" in begun.json()["detail"]
    app.runtime.cancel_optimization()
