"""Routes over time, resource managers, pages of plugins, and the pages beside the tabs: a real runtime."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from perfmw import PerfMiddleware, Settings, hookimpl
from perfmw.contracts import DashboardPanel
from perfmw.dashboard.api import ENDPOINTS
from tests.dashboard.conftest import observed, open_client

pytestmark = pytest.mark.anyio
API = "/_perfmw/api/v1"
OWN = {"origin": "http://localhost", "content-type": "application/json"}


class Stock:
    """A plugin with a panel on the overview and a page of its own."""

    @hookimpl
    def perfmw_register_dashboard_panels(self, settings: Settings) -> list[DashboardPanel]:
        def broken() -> list[list[str]]:
            raise RuntimeError("no shelf")

        rows = [["<b>nuts</b>", "3"]]
        return [
            DashboardPanel("short", "Running short", ("Item", "Left"), lambda: rows),
            DashboardPanel("shelves", "Shelves", ("Shelf",), lambda: [["A"]], page="Stock & more"),
            DashboardPanel("broken", "Broken shelves", ("Shelf",), broken, page="Stock & more"),
        ]


async def item(request: Request) -> Response:
    return JSONResponse({"id": request.path_params["id"]}, headers={"cache-control": "max-age=60"})


@pytest.fixture
async def app() -> AsyncIterator[PerfMiddleware]:
    site = Starlette(routes=[Route("/items/{id}", item)])
    async with observed(site, [Stock()], trace_ratio=1.0) as app:
        yield app


@pytest.fixture
async def client(app: PerfMiddleware) -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(app) as client:
        for number in range(6):
            await client.get(f"/items/{number % 2}")
        app.runtime.tick(time.time())
        yield client


async def got(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(f"{API}{path}")
    assert answer.status_code == 200, (path, answer.text)
    return answer.json()


async def test_all_routes_together_over_time(client: httpx.AsyncClient) -> None:
    course = await got(client, "/course?window=60")
    assert course["window"] == 60
    assert sum(one["count"] for one in course["items"]) == 6
    assert sum(one["hits"] for one in course["items"]) == 4
    assert course["served"]["requests"] == 6
    assert course["served"]["share"] == pytest.approx(4 / 6)
    assert (await client.get(f"{API}/course?window=61")).status_code == 422


async def test_pools_over_time(client: httpx.AsyncClient) -> None:
    found = await got(client, "/pools/history?window=60")
    assert 0.0 < found["items"][-1]["values"]["memory"] < 1.0


async def test_what_happened_is_one_list(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    app.runtime.annotate("deploy", "shop 2")
    await app.runtime.invalidate(prefix="http://localhost/items/")
    kinds = [one["kind"] for one in (await got(client, "/timeline?limit=10"))["items"]]
    assert {"deploy", "purge"} <= set(kinds)
    page = (await client.get("/_perfmw/")).text
    assert "shop 2" in page


async def test_what_perfmw_takes(client: httpx.AsyncClient) -> None:
    cost = await got(client, "/cost")
    assert cost["hits"] == 4
    assert 0 < cost["samples"] <= 6
    assert 0.0 < cost["sampled"] < cost["whole"]
    assert 0.0 < cost["hit"] < 1.0


async def test_a_score_is_explained_or_not_there_yet(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    assert await got(client, "/score") is None
    for tracked in app.runtime.profiles.everything():
        if tracked.recorder.type == "component":
            app.runtime.profiles.pin_baseline(tracked.id)
    app.runtime.tick(time.time() + 6.0)
    found = await got(client, "/score")
    assert found["routes"] == 1
    assert found["score"] + sum(one["lost"] for one in found["parts"]) == pytest.approx(100.0)
    shown = (await client.get("/_perfmw/")).text
    assert f"Why {found['score']:.0f}" in shown


async def test_plugins_add_panels_and_pages(client: httpx.AsyncClient) -> None:
    overview = (await client.get("/_perfmw/")).text
    assert "Running short" in overview
    assert "&lt;b&gt;nuts" in overview
    assert "Shelves" not in overview
    assert 'href="./page?title=Stock+%26+more"' in overview
    page = (await client.get("/_perfmw/page?title=Stock+%26+more")).text
    assert "Shelves" in page
    assert "This panel failed: RuntimeError: no shelf" in page
    assert (await client.get("/_perfmw/page?title=nothing")).status_code == 404
    assert [one["id"] for one in (await got(client, "/panels"))["items"]] == ["short", "shelves", "broken"]
    assert (await got(client, "/panels/short"))["rows"] == [["<b>nuts</b>", "3"]]
    assert (await client.get(f"{API}/panels/none")).status_code == 404


async def test_resource_managers_are_created_optimized_and_removed(client: httpx.AsyncClient) -> None:
    made = await client.post(
        f"{API}/resources", headers=OWN, json={"name": "disks", "scope": "component", "pools": ["storage"]}
    )
    assert made.status_code == 201
    id = made.json()["id"]
    names = [one["name"] for one in (await got(client, "/resources"))["items"]]
    assert names == ["host", "disks"]
    assert (await got(client, f"/resources/{id}"))["last"] is None
    wrong = {"goals": ["speed"]}
    assert (await client.post(f"{API}/resources/{id}/optimize", headers=OWN, json=wrong)).status_code == 422
    told = await client.post(f"{API}/resources/{id}/optimize", headers=OWN, json={"apply": False})
    assert told.status_code == 202
    assert told.json()["manager_id"] == id
    assert (await got(client, f"/resources/{id}"))["last"] == told.json()
    assert "What would help disks" in (await client.get("/_perfmw/resources")).text
    assert (await client.post(f"{API}/resources/{id}/optimize", headers=OWN)).status_code == 202
    assert (await client.post(f"{API}/resources/{id}/delete", headers=OWN)).status_code == 200
    for verb in ("delete", "optimize"):
        assert (await client.post(f"{API}/resources/{id}/{verb}", headers=OWN)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "host"},
        {"name": "x", "scope": "world"},
        {"name": "x", "pools": "storage"},
        {"name": "x", "pools": ["none"]},
        {"name": "x", "more": 1},
    ],
)
async def test_a_resource_manager_that_makes_no_sense(client: httpx.AsyncClient, body: Any) -> None:
    answer = await client.post(f"{API}/resources", headers=OWN, json=body)
    assert answer.status_code == 422, answer.text


async def test_alerts_silences_and_notes_have_a_page(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    quiet = (await client.get("/_perfmw/alerts")).text
    assert "All quiet" in quiet
    assert "Nothing is silenced" in quiet
    body = {"pattern": "GET /<script>*", "seconds": 600, "why": "moving"}
    assert (await client.post(f"{API}/alerts/silences", headers=OWN, json=body)).status_code == 201
    page = (await client.get("/_perfmw/alerts")).text
    assert "GET /&lt;script&gt;*" in page
    assert "<script>*" not in page


async def test_settings_and_plugins_have_pages(client: httpx.AsyncClient) -> None:
    settings = (await client.get("/_perfmw/settings")).text
    assert settings.index("trace_ratio") < settings.index("Defaults") < settings.index("apdex_t")
    assert "keyword" in settings
    plugins = (await client.get("/_perfmw/plugins")).text
    assert "perfmw_register_dashboard_panels" in plugins
    assert "Stock" in plugins


async def test_the_time_range_goes_along(client: httpx.AsyncClient) -> None:
    page = (await client.get("/_perfmw/caching?window=3600")).text
    assert 'href="./profiles?window=3600"' in page
    assert 'href="?window=86400"' in page
    assert "?window=" not in (await client.get("/_perfmw/settings")).text
    assert (await client.get("/_perfmw/caching?window=7")).status_code == 422


PATHS = ("", "profiles", "caching", "resources", "optimization", "alerts", "plugins", "settings")


def sections(page: str) -> list[str]:
    return [part.partition("</section>")[0] for part in page.split('<section class="panel')[1:]]


@pytest.mark.parametrize("path", PATHS)
async def test_every_panel_is_copied_and_every_chart_has_its_table(
    client: httpx.AsyncClient, app: PerfMiddleware, path: str
) -> None:
    page = (await client.get(f"/_perfmw/{path}")).text
    known = {endpoint.path for endpoint in ENDPOINTS}
    for panel in sections(page):
        if "<table" not in panel and "<figure" not in panel:
            continue
        copied = re.search(r'class="copy" data-api="api/v1(/[^"?]*)', panel)
        assert copied, panel[:200]
        assert any(re.fullmatch(re.sub(r"{[^}]*}", "[^/]+", one), copied[1]) for one in known), copied[1]
        assert ("<figure" in panel) <= ('<details class="data"' in panel), panel[:200]


async def test_a_profiles_panels_are_copied(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    id = app.runtime.profiles.everything()[0].id
    for path in (f"profile?id={id}", f"compare?first={id}"):
        page = (await client.get(f"/_perfmw/{path}")).text
        for panel in sections(page):
            assert ("<table" in panel) <= ('class="copy"' in panel), panel[:200]
