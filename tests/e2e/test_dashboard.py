"""The dashboard in a real Chromium, against a real uvicorn."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from perfmw.dashboard import create_app
from perfmw.dashboard.host import RECENT
from tests.dashboard.fake import FakeRuntime, busy, profile
from tests.e2e.conftest import CHROMIUM

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


class Served:
    """One server, in a thread, for all tests of a worker; each puts an app of its own in place."""

    def __init__(self) -> None:
        self.app: Any = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/outer/_perfmw/"
        config = uvicorn.Config(self, log_level="error", lifespan="off", timeout_graceful_shutdown=2)
        self.server = uvicorn.Server(config)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    def run(self) -> None:
        asyncio.run(self.server.serve([self.listener]))


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    thread = threading.Thread(target=served.run, daemon=True)
    thread.start()
    yield served
    served.server.should_exit = True
    thread.join(20)
    served.listener.close()
    assert not thread.is_alive()


@dataclass
class Site:
    """A dashboard with a runtime that the test may change."""

    runtime: FakeRuntime
    url: str


@pytest.fixture
def site(served: Served) -> Site:
    runtime = busy()
    served.app = Starlette(routes=[Mount("/outer/_perfmw", create_app(runtime))])
    return Site(runtime, served.url)


@dataclass
class Visit:
    """A page, and everything it complained about: console errors, exceptions, policy violations."""

    page: Any
    complaints: list[str] = field(default_factory=list)


def open_page(browser: Any, url: str, **options: Any) -> Visit:
    page = browser.new_context(**options).new_page()
    visit = Visit(page)
    page.on("console", lambda m: visit.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.goto(url)
    page.wait_for_selector('#live[data-state="live"]')
    return visit


@pytest.fixture
def visit(browser: Any, site: Site) -> Iterator[Visit]:
    visit = open_page(browser, site.url)
    yield visit
    visit.page.context.close()
    assert visit.complaints == []


def card(page: Any, name: str) -> str:
    return str(page.inner_text(f'[data-card="{name}"] .figure'))


def test_the_cards_are_filled(visit: Visit) -> None:
    page = visit.page
    assert card(page, "performance_score") == "87/100"
    assert card(page, "cache_hit_rate") == "71.3%"
    assert card(page, "resource_efficiency") == "64.0%"
    assert card(page, "response_time") == "46.7ms"
    assert page.get_attribute('[data-card="response_time"] .line', "d").startswith("M0.0,")


def test_the_browser_writes_numbers_as_the_server_does(browser: Any, site: Site) -> None:
    def texts(page: Any) -> list[str]:
        return [" ".join(text.split()) for text in page.locator(".card, #routes").all_text_contents()]

    without = browser.new_context(java_script_enabled=False).new_page()
    without.goto(site.url)
    lines = without.locator(".line")
    served = texts(without), [lines.nth(i).get_attribute("d") for i in range(4)]
    visit = open_page(browser, site.url)
    for key in visit.page.locator("#routes td").all():
        key.evaluate("cell => cell.dataset.v = 'stale'")
    sync_api.expect(visit.page.locator("#routes td[data-v=stale]")).to_have_count(0)
    lines = visit.page.locator(".line")
    assert (texts(visit.page), [lines.nth(i).get_attribute("d") for i in range(4)]) == served
    without.context.close()
    visit.page.context.close()


def test_an_event_updates_a_number_and_the_table(visit: Visit, site: Site) -> None:
    site.runtime.requests = 77_123
    site.runtime.profiles_list = [
        *site.runtime.profiles_list,
        profile("GET /new", id="new", p50=0.5, count=9),
    ]
    sync_api.expect(visit.page.locator('[data-card="cache_hit_rate"] [data-samples]')).to_have_text(
        "77,123 samples"
    )
    row = visit.page.locator('#routes tr[data-id="new"]')
    sync_api.expect(row.locator("th")).to_have_text("GET /new")
    assert row.locator("td").nth(1).inner_text().replace("\u202f", " ") == "500 ms"


def test_start_optimization_clicks_through(visit: Visit, site: Site) -> None:
    page = visit.page
    page.click("summary:has-text('Options')")
    page.fill("input[name=max_steps]", "5")
    page.click("#start")
    sync_api.expect(page.locator("#message")).to_contain_text("has started")
    sync_api.expect(page.locator("#part-run")).to_contain_text("3 of 8 blocks measured")
    sync_api.expect(page.locator("#start")).to_be_disabled()
    request, _ = site.runtime.started[0]
    assert (request.max_steps, request.requested_by) == (5, "dashboard")
    page.click("text=Stop and undo")
    sync_api.expect(page.locator("#part-run .state")).to_have_text("idle")
    sync_api.expect(page.locator("#start")).to_be_enabled()
    assert site.runtime.cancelled == 1


def test_a_change_is_rolled_back_by_keyboard(visit: Visit, site: Site) -> None:
    button = visit.page.get_by_role("button", name="Roll back Cache GET /search for 30 s")
    button.focus()
    visit.page.keyboard.press("Enter")
    sync_api.expect(button).to_have_count(0)
    assert site.runtime.rolled_back == [3]


def test_a_refusal_is_told(browser: Any, site: Site) -> None:
    visit = open_page(browser, site.url)
    site.runtime.state = {"status": "running"}
    visit.page.evaluate("document.getElementById('start').disabled = false")
    visit.page.click("#start")
    sync_api.expect(visit.page.locator("#message")).to_have_text("an optimization run is under way.")
    visit.page.context.close()


def first_cells(page: Any) -> list[str]:
    return [text.split()[-1] for text in page.locator("#routes tbody th:visible").all_inner_texts()]


def test_routes_sort_and_filter(visit: Visit) -> None:
    page = visit.page
    assert first_cells(page)[0] == "/search"
    page.click("#routes th:has-text('Score') button")
    assert first_cells(page)[0] == "/static/{path}"
    assert page.get_attribute("#routes th:has-text('Score')", "aria-sort") == "descending"
    page.click("#routes th:has-text('Score') button")
    assert first_cells(page)[0] == "/search"
    page.click("#routes thead th:first-child button")
    assert first_cells(page) == sorted(first_cells(page), key=lambda path: (path == "/cart", path))
    page.fill("#filter", "api")
    assert first_cells(page) == ["/api/prices/{sku}"]


def test_all_routes_on_demand(visit: Visit, site: Site) -> None:
    site.runtime.profiles_list = [profile(f"GET /r/{i}", id=f"r{i}", count=i + 1) for i in range(130)]
    visit.page.wait_for_timeout(RECENT * 1e3)
    visit.page.reload()
    assert visit.page.locator("#routes tbody tr").count() == 20
    visit.page.click("text=Show all 130 routes")
    sync_api.expect(visit.page.locator("#routes tbody tr")).to_have_count(130)


def test_the_table_behind_a_chart(visit: Visit) -> None:
    panel = visit.page.locator('[data-card="cache_hit_rate"]')
    panel.locator("summary").click()
    sync_api.expect(panel.locator("tbody tr")).to_have_count(60)
    assert panel.locator("tbody tr").first.inner_text().replace("\u202f", " ").split() == ["1", "62.0", "%"]


def test_a_phone_needs_no_sideways_scrolling(browser: Any, site: Site) -> None:
    visit = open_page(browser, site.url, viewport={"width": 360, "height": 740})
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 360
    visit.page.context.close()


def colours(page: Any) -> tuple[str, str]:
    return page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )


def test_dark_and_light_follow_the_system_until_chosen(browser: Any, site: Site) -> None:
    visit = open_page(browser, site.url, color_scheme="dark")
    dark = colours(visit.page)
    visit.page.click("#theme")
    light = colours(visit.page)
    assert dark != light
    visit.page.reload()
    assert colours(visit.page) == light
    visit.page.context.close()


def test_reduced_motion_is_respected(browser: Any, site: Site) -> None:
    visit = open_page(browser, site.url, reduced_motion="reduce")
    style = "getComputedStyle(document.getElementById('live'), '::before').animationName"
    assert visit.page.evaluate(style) == "none"
    visit.page.context.close()


def test_the_report_opens_and_downloads(visit: Visit) -> None:
    visit.page.click("text=Performance Report")
    visit.page.wait_for_selector("text=Key figures")
    with visit.page.expect_download() as caught:
        visit.page.click("text=Download HTML")
    assert caught.value.suggested_filename.endswith(".html")


def test_every_control_has_a_name_and_every_id_is_one(visit: Visit) -> None:
    names = visit.page.locator("button, a, input, select, summary").evaluate_all(
        "nodes => nodes.filter(n => !(n.ariaLabel || n.textContent.trim() || n.labels?.length))"
        ".map(n => n.outerHTML)"
    )
    assert names == []
    ids = visit.page.locator("[id]").evaluate_all("nodes => nodes.map(node => node.id)")
    assert len(ids) == len(set(ids))
    labelled = visit.page.locator("[aria-labelledby]").evaluate_all(
        "nodes => nodes.filter(n => !document.getElementById(n.getAttribute('aria-labelledby'))).length"
    )
    assert labelled == 0


def test_a_restart_of_the_server_is_survived(browser: Any, site: Site) -> None:
    visit = open_page(browser, site.url)
    site.runtime.requests = 5
    for task in list(site.runtime.tasks):
        task.get_loop().call_soon_threadsafe(task.cancel)
    samples = visit.page.locator('[data-card="cache_hit_rate"] [data-samples]')
    sync_api.expect(samples).to_have_text("5 samples", timeout=15_000)
    visit.page.context.close()
