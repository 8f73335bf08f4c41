"""The tabs and the pages of a profile, as a real runtime fills them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware
from perfmw.profiles import profile_id
from perfmw.profiles.breakdown import Breakdown, Part, Repeated
from perfmw.profiles.flame import Flame
from perfmw.profiles.traces import Trace
from tests.dashboard.conftest import observed, open_client
from tests.dashboard.fake import EVIL

pytestmark = pytest.mark.anyio
OWN = {"origin": "http://localhost", "content-type": "application/json"}
ITEM = profile_id("component", "GET /items/{id}")
TABS = ["", "profiles", "caching", "resources", "optimization"]


async def item(request: Request) -> Response:
    return JSONResponse({"id": request.path_params["id"]})


async def fails(request: Request) -> Response:
    return PlainTextResponse("no", 503)


@pytest.fixture
async def app() -> AsyncIterator[PerfMiddleware]:
    rules = [CacheRule(path="/items/7", ttl=60)]
    site = Starlette(routes=[Route("/items/{id}", item), Route("/fails", fails)])
    async with observed(site, trace_ratio=1.0, cache_rules=rules) as app:
        yield app


@pytest.fixture
async def client(app: PerfMiddleware) -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(app) as client:
        yield client


async def traffic(client: httpx.AsyncClient) -> None:
    for number in range(30):
        await client.get(f"/items/{number % 10}")
    await client.get("/fails")


def trace(**facts: Any) -> Trace:
    parts = [Part("query", "SELECT ?", 100.0 + n / 10, 100.05 + n / 10, span_id=n + 1) for n in range(6)]
    values = {
        "trace_id": "ab" * 16, "span_id": "cd" * 8, "route": "GET /items/{id}", "at": 100.0, "seconds": 1.0,
        "status": 200, "breakdown": Breakdown(1.0, app=0.4, database=0.3), "parts": tuple(parts),
    }  # fmt: skip
    return Trace(**{**values, **facts})


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


@pytest.mark.parametrize("path", TABS)
async def test_each_tab_says_which_it_is_and_links_the_others(client: httpx.AsyncClient, path: str) -> None:
    page = (await client.get(f"/_perfmw/{path}")).text
    assert page.count('role="tab"') == 5
    assert page.count('aria-selected="true"') == 1
    (selected,) = re.findall(
        r'id="tab-(\w+)"[^>]*aria-selected="true" tabindex="0" aria-controls="panel"', page
    )
    assert selected == (path or "overview")
    assert f'role="tabpanel" aria-labelledby="tab-{selected}"' in page
    assert re.findall(r'role="tab" id="tab-\w+" href="\./(\w*)"', page) == TABS


@pytest.mark.parametrize("path", [*TABS, "compare"])
async def test_without_traffic_each_page_teaches(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/_perfmw/{path}")
    assert answer.status_code == 200
    assert 'class="empty"' in answer.text
    assert "style=" not in answer.text
    assert "onclick" not in answer.text


async def test_a_profiles_page_tells_everything_about_it(
    client: httpx.AsyncClient, app: PerfMiddleware
) -> None:
    await traffic(client)
    app.runtime.profiles.tick(app.runtime.profiles.started_at + 2)
    tracked = app.runtime.profiles.tracked(ITEM)
    assert tracked is not None
    assert app.runtime.tracing is not None
    tracked.account(Breakdown(1.0, app=0.4, database=0.3, repeated=(Repeated("SELECT ?", 6, 0.3),)))
    app.runtime.tracing.traces.keep(trace())
    answer = await client.get(f"/_perfmw/profile?id={ITEM}&window=60")
    told = words(answer.text)
    for text in (
        "GET /items/{id}", "percentiles over the last", "Sliding windows", "24 h", "Where the time goes",
        "Database", "Slow requests", "N+1", "Flame graph", "Baseline and targets", "Processor time",
    ):  # fmt: skip
        assert text in told, text
    assert answer.text.count("<svg") > 5
    assert 'class="k-query' in answer.text
    details = (await client.get(f"/_perfmw/api/v1/profiles/{ITEM}/details?window=60")).json()
    assert [one["count"] for one in details["windows"]] == [30] * 4
    assert sum(one["count"] for one in details["course"]) == 30
    assert details["queries"][0]["repeated"] == 1
    assert details["slow"][0]["trace_id"] == "ab" * 16
    assert sum(one["share"] for one in details["breakdown"]) == pytest.approx(1.0)


async def test_a_kept_request_has_a_page_of_its_own(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    assert app.runtime.tracing is not None
    app.runtime.tracing.traces.keep(trace(status=500, breakdown=None, parts=()))
    app.runtime.tracing.traces.keep(trace(trace_id="ef" * 16))
    page = (await client.get(f"/_perfmw/trace?id={'ef' * 16}")).text
    assert page.count('class="k-query') == 6
    assert "Where the time went" in page
    assert (
        "found to be slow or failed only at its end"
        in (await client.get(f"/_perfmw/trace?id={'ab' * 16}")).text
    )
    assert (await client.get("/_perfmw/trace?id=nothing")).status_code == 404
    listed = (await client.get("/_perfmw/api/v1/traces")).json()
    assert [len(listed["slow"]), len(listed["failed"])] == [1, 1]
    assert (await client.get(f"/_perfmw/api/v1/traces/{'ef' * 16}")).json()["seconds"] == 1.0


async def test_two_periods_and_two_profiles_are_compared(client: httpx.AsyncClient) -> None:
    await traffic(client)
    page = words((await client.get(f"/_perfmw/compare?first={ITEM}&window=60")).text)
    assert "requests" in page
    assert "no requests on one side" in page
    page = words((await client.get(f"/_perfmw/compare?first={ITEM}&second=GET /fails&window=60")).text)
    assert "error rate 0 % 100 %" in page.replace("\u202f", " ")
    found = (
        await client.get(f"/_perfmw/api/v1/profiles/{ITEM}/compare?second=GET%20/fails&window=60")
    ).json()
    assert (found["first_requests"], found["second_requests"]) == (30, 1)
    assert (await client.get("/_perfmw/compare?first=nobody")).status_code == 404
    assert (await client.get(f"/_perfmw/compare?first={ITEM}&window=7")).status_code == 422


async def test_the_list_is_filtered_sorted_and_paged(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    for number in range(60):
        app.runtime.profiles.recorder(f"GET /r/{number}").origin(0.001 * (number + 1), 200, "uri-miss")
    app.runtime.profiles.recorder("SELECT ?", "query").done(0.001)

    async def listed(query: str) -> list[str]:
        page = (await client.get(f"/_perfmw/profiles?{query}")).text
        return [
            unescape(name)
            for name in re.findall(r'<th scope="row" class="why"><a class="path"[^>]*>([^<]+)<', page)
        ]

    assert len(await listed("")) == 15
    assert (await listed("type=component"))[0] == "GET /r/59"
    assert len(await listed("page=4")) >= 1
    assert await listed("type=query") == ["SELECT ?"]
    assert await listed("q=R/59&sort=name") == ["GET /r/59"]
    assert await listed("q=nothing") == []
    for bad in ("type=nonsense", "sort=nonsense"):
        assert (await client.get(f"/_perfmw/profiles?{bad}")).status_code == 422


async def test_what_comes_after_the_first_screen_is_whole_by_itself(client: httpx.AsyncClient) -> None:
    """A noscript cannot hold another, and what it holds is parsed apart from what is around it."""
    for path in ("", "profiles", "caching", "resources", "optimization", "fleet", "alerts", "settings"):
        page = (await client.get(f"/_perfmw/{path}")).text
        tags = re.findall(r"</?noscript", page)
        assert tags == ["<noscript", "</noscript"] * (len(tags) // 2), path
        assert '<noscript class="note"><p class="panel">Scripts are off' in page, path
        for rest in re.findall(r"<noscript[^>]*>(.*?)</noscript>", page, re.DOTALL):
            for name in ("section", "div", "table", "details", "dl", "form"):
                opened = len(re.findall(rf"<{name}[ >]", rest))
                assert opened == rest.count(f"</{name}>"), (path, name)


async def test_the_first_screen_is_small_however_much_there_is(
    client: httpx.AsyncClient, app: PerfMiddleware
) -> None:
    """What the browser has to lay out before its first picture; a screen shows some two hundred things."""
    await traffic(client)
    for number in range(300):
        app.runtime.profiles.recorder(f"GET /r/{number}").origin(0.001, 200, "uri-miss")
    sizes = {}
    for path in (*TABS, "?window=86400", "fleet", "alerts", "plugins", "settings", f"profile?id={ITEM}"):
        page = (await client.get(f"/_perfmw/{path}")).text
        sizes[path] = len(
            re.findall(r"<[a-z]", re.sub(r"<noscript>.*?</noscript>", "", page, flags=re.DOTALL))
        )
    assert sizes.pop("profiles") <= 500, "15 rows"
    assert max(sizes.values()) <= 420, sizes


async def test_every_page_of_many_profiles_is_reached(
    client: httpx.AsyncClient, app: PerfMiddleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfmw.dashboard.pages.profiles.ROWS", 2)
    for number in range(120):
        app.runtime.profiles.recorder(f"GET /r/{number}").origin(0.001, 200, "uri-miss")

    async def linked(page: int) -> list[int]:
        text = (await client.get(f"/_perfmw/profiles?q=/r/&page={page}")).text
        return [int(number) for number in re.findall(r"&amp;page=(\d+)", text)]

    assert await linked(0) == [0, 1, 2, 3, 4, 59]
    assert await linked(22) == [0, *range(18, 27), 59]
    assert await linked(59) == [0, 55, 56, 57, 58, 59]


async def test_profiles_are_created_changed_pinned_and_forgotten(client: httpx.AsyncClient) -> None:
    async def post(path: str, body: Any = None, status: int = 200) -> Any:
        answer = await client.post(f"/_perfmw/api/v1/profiles{path}", json=body or {}, headers=OWN)
        assert answer.status_code == status, answer.text
        return answer.json()

    made = await post("", {"name": "checkout", "type": "workflow", "reporting_schedule": "weekly"}, 201)
    assert (made["type"], made["monitoring"]["reporting_schedule"]) == ("workflow", "weekly")
    changed = await post(f"/{made['id']}/settings", {"targets": {"latency": 0.1, "throughput": 5}})
    assert changed["performance"]["targets"]["latency"] == 0.1
    pinned = await post(f"/{made['id']}/baseline", {"latency": 0.2, "throughput": 3})
    assert pinned["performance"]["baseline"]["source"] == "pinned"
    await post(f"/{made['id']}/baseline", None, 422)  # nothing was counted
    exported = await client.get(f"/_perfmw/api/v1/profiles/export?id={made['id']}")
    assert [one["name"] for one in exported.json()["profiles"]] == ["checkout"]
    await post(f"/{made['id']}/delete")
    for take, source in (("baselines", "file"), ("choices", "pinned"), ("all", "pinned")):
        assert (await post(f"/import?take={take}", exported.json()))["ids"] == [made["id"]]
        (back,) = (await client.get("/_perfmw/api/v1/profiles?type=workflow")).json()["items"]
        assert back["performance"]["baseline"]["latency"] == 0.2
        assert back["performance"]["baseline"]["source"] == source
    await post("/import", {"profiles": []}, 422)
    await post("/import?take=nothing", exported.json(), 422)
    await post(f"/{made['id']}/delete")
    for path in ("settings", "baseline", "delete", "flame"):
        await post(f"/{made['id']}/{path}", None, 404)
    assert (await client.get(f"/_perfmw/profile?id={made['id']}")).status_code == 404
    assert (await client.get("/_perfmw/api/v1/profiles/export?id=gone")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": 7},
        {"name": "a", "type": "b"},
        {"name": "a", "x": 1},
        {"name": "a", "targets": {"latency": "fast"}},
    ],
)
async def test_a_profile_that_makes_no_sense_is_refused(client: httpx.AsyncClient, body: Any) -> None:
    answer = await client.post("/_perfmw/api/v1/profiles", json=body, headers=OWN)
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "path", ["profiles", f"profiles/{ITEM}/delete", f"profiles/{ITEM}/flame", "optimization/stop"]
)
async def test_nothing_is_changed_from_another_site(client: httpx.AsyncClient, path: str) -> None:
    await traffic(client)
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {}):
        wanted = {**headers, "content-type": "application/json"}
        answer = await client.post(f"/_perfmw/api/v1/{path}", json={"name": "x"}, headers=wanted)
        assert answer.status_code == 403
    plain = {"origin": "http://localhost", "content-type": "text/plain"}
    assert (await client.post(f"/_perfmw/api/v1/{path}", content="{}", headers=plain)).status_code == 415


async def test_a_flame_graph_is_made_in_the_background(
    client: httpx.AsyncClient, app: PerfMiddleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    await traffic(client)
    go = asyncio.Event()

    async def profile_route(route: str, **options: Any) -> Flame:
        await go.wait()
        return Flame(route, 1.0, [Flame("slow (app.py:3)", 0.9)], requests=4, peak_bytes=2048)

    monkeypatch.setattr(app.runtime, "profile_route", profile_route)
    path = f"/_perfmw/api/v1/profiles/{ITEM}/flame"
    assert (await client.get(path)).status_code == 404
    for bad in ({"seconds": 0}, {"seconds": "long"}, {"seconds": True}, {"memory": 1}, {"extra": 1}):
        assert (await client.post(path, json=bad, headers=OWN)).status_code == 422
    assert (await client.post(path, json={"seconds": 5}, headers=OWN)).status_code == 202
    assert (await client.post(path, json={}, headers=OWN)).status_code == 409
    page = (await client.get(f"/_perfmw/profile?id={ITEM}")).text
    assert "data-busy" in page
    go.set()
    await asyncio.sleep(0.01)
    assert (await client.get(path)).json()["status"] == "done"
    page = (await client.get(f"/_perfmw/profile?id={ITEM}")).text
    assert "slow (app.py:3)" in page
    assert "4 requests" in words(page)
    assert "2.00 KiB" in words(page).replace("\u202f", " ")
    system = await client.post(
        f"/_perfmw/api/v1/profiles/{profile_id('system', 'process')}/flame", json={}, headers=OWN
    )
    assert system.status_code in (404, 422)


async def test_a_flame_graph_without_its_extra_says_what_to_install(
    client: httpx.AsyncClient, app: PerfMiddleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    await traffic(client)

    async def profile_route(route: str, **options: Any) -> Flame:
        raise ImportError("pyinstrument")

    monkeypatch.setattr(app.runtime, "profile_route", profile_route)
    await client.post(f"/_perfmw/api/v1/profiles/{ITEM}/flame", json={}, headers=OWN)
    await asyncio.sleep(0.01)
    assert "pip install 'perfmw[profiler]'" in unescape(
        (await client.get(f"/_perfmw/profile?id={ITEM}")).text
    )


async def test_sampled_requests_see_the_same_dashboard(
    client: httpx.AsyncClient, app: PerfMiddleware
) -> None:
    await traffic(client)
    assert app.runtime.tracing is not None
    path = f"/_perfmw/api/v1/profiles/{ITEM}/flame"
    tracing, app.runtime.tracing = app.runtime.tracing, None
    await client.post(path, json={"seconds": 1}, headers=OWN)
    app.runtime.tracing = tracing
    for _ in range(10):
        assert (await client.get(path)).status_code == 200
    assert app.observed._dashboard is app._dashboard


async def test_an_attackers_text_stays_text(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    name = f"GET /{EVIL}"
    app.runtime.profiles.recorder(name).origin(0.1, 200, "uri-miss")
    app.runtime.profiles.recorder(f"SELECT {EVIL}", "query").done(0.1)
    assert app.runtime.tracing is not None
    evil = Part("query", EVIL, 100.0, 100.5)
    app.runtime.tracing.traces.keep(trace(route=name, parts=(evil,)))
    id = profile_id("component", name)
    for path in (
        "profiles",
        f"profile?id={id}",
        f"trace?id={'ab' * 16}",
        f"compare?first={id}",
        "profiles?q=%3Cscript%3Ealert",
    ):
        page = (await client.get(f"/_perfmw/{path}")).text
        assert "alert(1)" in page or "alert" in page
        assert "<script>alert" not in page


async def test_the_caching_tab_tells_layers_reasons_and_rules(client: httpx.AsyncClient) -> None:
    await traffic(client)
    page = words((await client.get("/_perfmw/caching")).text)
    for text in ("memory", "Why not from cache", "no-freshness", "/items/7", "Explain a URL"):
        assert text in page, text


async def test_the_resources_tab_tells_pools_loops_and_who_held_them_up(
    client: httpx.AsyncClient, app: PerfMiddleware
) -> None:
    app.runtime.loop._seen = ("app.view:3", "app.parse:7")
    app.runtime.loop._note_slow(0.25)
    app.runtime.tick(app.runtime.profiles.started_at + 1)
    page = words((await client.get("/_perfmw/resources")).text).replace("\u202f", " ")
    for text in ("cpu", "memory", "GC pauses", "app.parse:7", "250 ms", "Called by"):
        assert text in page, text
    listed = (await client.get("/_perfmw/api/v1/processes")).json()
    assert listed["items"][0]["slow_callbacks"][0]["function"] == "app.parse:7"


async def test_everything_is_stopped_by_one_request(client: httpx.AsyncClient, app: PerfMiddleware) -> None:
    answer = await client.post("/_perfmw/api/v1/optimization/stop", json={}, headers=OWN)
    assert (answer.status_code, answer.json()) == (202, {"rolled_back": []})
    assert (await client.get("/_perfmw/api/v1/opportunities")).json()["total"] == 0
