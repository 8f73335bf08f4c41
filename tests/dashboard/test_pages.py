"""The first page and the report, as the server writes them."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from perfmw.contracts import Alert, DashboardPanel
from perfmw.dashboard import create_app
from tests.dashboard.conftest import open_client
from tests.dashboard.fake import EVIL, NOW, FakeRuntime, profile

pytestmark = pytest.mark.anyio
MakeClient = Callable[..., httpx.AsyncClient]
CARDS = ["Performance Score", "Cache Hit Rate", "Resource Efficiency", "Response Time"]


async def test_the_page_holds_what_the_plan_wants(client: httpx.AsyncClient) -> None:
    page = (await client.get("/_perfmw/")).text
    assert re.findall(r'<h2 id="card-\w+">([^<]+)<', page) == CARDS
    for words in ("Start Optimization", "Performance Report", "Why not from cache", "Ledger", "Job queue"):
        assert words in page
    assert "/search" in page
    assert "125k samples" in page
    assert "60\u202f% faster" in page
    assert "Nothing was stored for this URL yet" in page


async def test_the_ledger_tells_what_guardrails_saw(client: httpx.AsyncClient) -> None:
    ledger = (await client.get("/_perfmw/")).text.partition('id="part-ledger"')[2]
    before, after = re.findall(r"[\d.]+\u202f% hits[^<]*</span><span[^>]*>[^<]*", ledger)[:2]
    assert "stale" not in before, "earlier releases did not measure it"
    assert "0.10\u202f% failed, 3.40\u202f% stale<" in after
    assert after.endswith("requests, 88.0\u202fMiB held")


async def test_without_traffic_it_teaches(make_client: MakeClient) -> None:
    async with make_client(FakeRuntime()) as client:
        page = (await client.get("/_perfmw/")).text
    assert "No requests yet" in page
    assert "curl -i http://localhost/" in page
    assert "Nothing was tried yet" in page
    assert page.count("data-empty") == 4


async def test_text_of_attackers_stays_text(make_client: MakeClient) -> None:
    runtime = FakeRuntime([profile(f"GET /{EVIL}", id=EVIL)])
    runtime.cache_status = {"hit": 1, EVIL: 2}
    runtime.ledger.add("kept", EVIL, EVIL, NOW, why=EVIL)
    runtime.panels = [
        DashboardPanel(EVIL, EVIL, (EVIL,), lambda: [(EVIL,)]),
        DashboardPanel("bad", "Bad", ("x",), lambda: 1 / 0),
    ]
    runtime.alerts = [Alert("k", "t", "high", EVIL, EVIL, NOW)]
    runtime.state = {
        "status": "idle",
        "last": {"steps": [{"step_id": EVIL, "verdict": "kept", "reason": EVIL}]},
    }
    async with make_client(runtime) as client:
        for path in ("", "parts", "report", "report?download=1"):
            text = (await client.get(f"/_perfmw/{path}")).text
            assert "<script>alert" not in text
            assert "&lt;script&gt;alert" in text
        signin = await client.get("/_perfmw/login", headers={"host": "evil"}, params={"token": EVIL})
        assert "<script>" not in signin.text


async def test_a_panel_that_fails_says_so_and_the_page_stands(make_client: MakeClient) -> None:
    runtime = FakeRuntime()
    runtime.panels = [DashboardPanel("bad", "Bad panel", ("x",), lambda: 1 / 0)]
    async with make_client(runtime) as client:
        answer = await client.get("/_perfmw/")
    assert answer.status_code == 200
    assert "This panel failed: ZeroDivisionError" in answer.text


async def test_no_inline_script_or_style_and_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    for path in ("", "report"):
        answer = await client.get(f"/_perfmw/{path}")
        assert not re.search(r"<script(?![^>]*\ssrc=)", answer.text)
        assert not re.search(r"<style|\sstyle=|\son\w+=", answer.text)
        assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", answer.text)


async def test_every_answer_is_hardened(client: httpx.AsyncClient) -> None:
    for path in ("", "api/v1/overview", "api/v1/nothing", "metrics", "static/app.css", "login"):
        headers = (await client.get(f"/_perfmw/{path}")).headers
        policy = headers["content-security-policy"]
        for rule in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert rule in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == ("same-origin" if "login" in path else "no-referrer")
        assert headers["cache-control"] == ("no-cache" if path.startswith("static") else "no-store")


async def test_a_running_optimization_can_be_stopped_not_started(
    client: httpx.AsyncClient, runtime: FakeRuntime
) -> None:
    runtime.start_optimization()
    page = (await client.get("/_perfmw/")).text
    assert re.search(r'id="start" disabled', page)
    assert "3 of 8 blocks measured" in page
    assert "Stop and undo" in page


async def test_a_run_that_found_nothing_says_what_it_needs(
    client: httpx.AsyncClient, runtime: FakeRuntime
) -> None:
    runtime.state = {"status": "idle", "last": {"steps": []}}
    assert "found nothing worth trying" in (await client.get("/_perfmw/")).text


async def test_many_routes_are_cut_with_a_way_to_all(make_client: MakeClient) -> None:
    runtime = FakeRuntime([profile(f"GET /{i}", id=str(i), count=1 + i) for i in range(120)])
    async with make_client(runtime) as client:
        page = (await client.get("/_perfmw/")).text
    assert page.count("<tr data-id=") == 20
    assert "Show all 120 routes" in page
    assert page.index('data-id="119"') < page.index('data-id="118"')


@pytest.mark.parametrize("outer", ["", "/outer"])
async def test_the_slash_is_added_below_any_prefix(outer: str) -> None:
    app = Starlette(routes=[Mount(f"{outer}/_perfmw", create_app(FakeRuntime()))])
    async with open_client(app) as client:
        scope_path = f"{outer}/_perfmw/"
        assert (await client.get(scope_path)).status_code == 200


async def test_without_a_slash_a_relative_redirect_adds_it() -> None:
    app = create_app(FakeRuntime())

    async def at_prefix(scope: dict[str, object], receive: object, send: object) -> None:
        await app({**scope, "root_path": "/outer/_perfmw"}, receive, send)

    async with open_client(at_prefix) as client:
        answer = await client.get("/outer/_perfmw")
        assert (answer.status_code, answer.headers["location"]) == (307, "./_perfmw/")
        assert (await client.get("/outer/_perfmw/")).status_code == 200


async def test_the_report_can_be_read_and_taken_away(client: httpx.AsyncClient) -> None:
    page = await client.get("/_perfmw/report")
    assert "Performance report" in page.text
    assert "content-disposition" not in page.headers
    download = await client.get("/_perfmw/report?download=1")
    assert download.headers["content-disposition"].endswith('.html"')
    assert "<style>" in download.text
    assert "<link" not in download.text.replace('<link rel="icon"', "")
    for name in ("/search", "Cache GET /search for 30 s", "memory", "cpu"):
        assert name in download.text


async def test_without_jinja_the_api_works_and_the_page_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, make_client: MakeClient
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    async with make_client(FakeRuntime()) as client:
        page = await client.get("/_perfmw/")
        assert page.status_code == 501
        assert "perfmw[cli]" in page.json()["detail"]
        assert (await client.get("/_perfmw/api/v1/overview")).status_code == 200
        assert (await client.get("/_perfmw/metrics")).status_code == 200


async def test_metrics_and_health(client: httpx.AsyncClient, runtime: FakeRuntime) -> None:
    metrics = await client.get("/_perfmw/metrics")
    assert metrics.text == "perfmw_profiles 8\n"
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert (await client.get("/_perfmw/healthz")).text == "ok\n"
    runtime.exporters.clear()
    assert (await client.get("/_perfmw/metrics")).status_code == 501


async def test_an_assets_etag_saves_the_next_transfer(client: httpx.AsyncClient) -> None:
    first = await client.get("/_perfmw/static/app.css", headers={"accept-encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["content-type"] == "text/css; charset=utf-8"
    same = {"accept-encoding": "gzip", "if-none-match": first.headers["etag"]}
    assert (await client.get("/_perfmw/static/app.css", headers=same)).status_code == 304
    plain = {"accept-encoding": "identity", "if-none-match": first.headers["etag"]}
    other = await client.get("/_perfmw/static/app.css", headers=plain)
    assert (other.status_code, other.text) == (200, first.text)
    assert (await client.get("/_perfmw/static/app.py")).status_code == 404
    assert (await client.get("/_perfmw/static/..%2fapp.py")).status_code == 404


async def test_who_follows_a_stale_link_reads_a_page(client: httpx.AsyncClient) -> None:
    browser = {"accept": "text/html,application/xhtml+xml"}
    url = "/_perfmw/page?title=<script>alert(1)</script>"
    page = await client.get(url, headers=browser)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "&lt;script&gt;" in page.text
    assert "<script" not in page.text
    assert 'href="./"' in page.text
    assert 'href="../"' in (await client.get("/_perfmw/no/such", headers=browser)).text
    for other, headers in ((url, {}), ("/_perfmw/api/v1/no", browser)):
        told = await client.get(other, headers=headers)
        assert (told.status_code, told.headers["content-type"]) == (404, "application/problem+json")


async def test_the_whole_page_is_light_with_a_thousand_routes(make_client: MakeClient) -> None:
    runtime = FakeRuntime([profile(f"GET /some/route/{i}/{{id}}", id=f"id{i}") for i in range(1_000)])
    runtime.requests = 1_000
    total = 0
    async with make_client(runtime) as client:
        page = await client.get("/_perfmw/")
        names = sorted(set(re.findall(r"static/[\w.]+", page.text)))
        assert names == ["static/app.css", "static/mark.svg", "static/overview.js"]
        for path in ["", *names, "parts"]:
            async with client.stream("GET", f"/_perfmw/{path}") as answer:
                body = [chunk async for chunk in answer.aiter_raw()]
            total += len(b"".join(body)) + sum(len(k) + len(v) + 4 for k, v in answer.headers.raw)
    assert total <= 28 * 1024
