"""Every tab and what can be done there, in a real Chromium against a real site under real requests."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from perfmw import Settings
from tests.e2e.conftest import CHROMIUM, Shop, Visit, opened

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("pyinstrument", reason="the extra profiler is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
TABS = ["Overview", "Performance Profiles", "Caching", "Resource Management", "Optimization"]
PATHS = ["", "profiles", "caching", "resources", "optimization"]


def test_tabs_are_links_and_go_by_arrow_keys(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(shop.dashboard)
    for number, name in enumerate(TABS):
        page.get_by_role("tab", name=name, exact=True).click()
        page.wait_for_url(f"{shop.dashboard}{PATHS[number]}")
        assert page.get_by_role("tab", selected=True).inner_text() == name
        assert page.get_by_role("tabpanel", name=name).count() == 1
    page.get_by_role("tab", selected=True).focus()
    focused = "document.activeElement.textContent.trim()"
    for key, name in (
        ("ArrowRight", TABS[0]),
        ("ArrowLeft", TABS[4]),
        ("Home", TABS[0]),
        ("End", TABS[4]),
        ("ArrowLeft", TABS[3]),
    ):
        page.keyboard.press(key)
        assert page.evaluate(focused) == name
    page.keyboard.press("Enter")
    page.wait_for_url(f"{shop.dashboard}resources")
    page.keyboard.press("Tab")
    page.go_back()
    page.wait_for_url(f"{shop.dashboard}optimization")


def test_a_profile_is_found_and_looked_at(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}profiles")
    page.fill("input[name=q]", "BASKET")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/profiles?q=BASKET*")
    assert page.locator("#profiles tbody tr").count() == 1
    page.get_by_role("link", name="GET /basket").click()
    page.wait_for_selector("h1:has-text('GET /basket')")
    assert page.locator("#course .series").first.get_attribute("d").startswith("M")
    page.get_by_role("link", name="1 min", exact=True).click()
    page.wait_for_url("**window=60")
    assert page.get_by_role("link", name="1 min", exact=True).get_attribute("aria-current") == "true"
    assert page.locator("#windows tbody tr").count() == 4
    assert "N+1" in page.inner_text("#queries")
    assert page.locator("#traces .k-query").count() == 8
    assert "database" in page.inner_text("#breakdown").lower()
    page.locator("#course .data summary").click()
    assert page.locator("#course .data tbody tr").count() >= 1


def test_a_request_has_its_waterfall(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}profile?id={shop.id_of('GET /basket')}")
    page.get_by_role("link", name="Look at it alone").click()
    page.wait_for_selector("h2:has-text('Waterfall')")
    assert page.locator(".waterfall .k-query").count() == 8
    assert "load its rows with one query" in page.inner_text("main")
    page.get_by_role("link", name="Its profile").click()
    page.wait_for_selector("h1:has-text('GET /basket')")


def test_failures_are_told_by_kind(visit: Visit, shop: Shop) -> None:
    visit.go(f"{shop.dashboard}profile?id={shop.id_of('GET /fails')}")
    errors = visit.page.inner_text("#errors").replace("\u202f", " ")
    assert re.search(r"503\s+30\s+100 %", errors), errors
    assert "Last failed requests" in errors


def test_a_flame_graph_on_demand(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}profile?id={shop.id_of('GET /basket')}")
    page.fill("#flame input[name=seconds]", "2")
    page.get_by_role("button", name="Watch this route").click()
    sync_api.expect(page.locator("#flame progress")).to_be_visible()
    until = time.monotonic() + 25.0
    while time.monotonic() < until and page.locator("#flame svg.flame").count() == 0:
        shop.get("/basket")
        page.wait_for_timeout(50)
    sync_api.expect(page.locator("#flame svg.flame")).to_be_visible(timeout=10_000)
    assert "work (" in (page.locator("#flame svg.flame").text_content() or "")
    if not page.locator("#flame details.data").evaluate("node => node.open"):
        page.locator("#flame .data summary").click()
    hottest = page.locator("#flame tbody th").all_text_contents()[:5]
    assert any(name.startswith("work (") for name in hottest), hottest
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert visit.barriers() == [], scheme


def test_targets_are_set_and_a_baseline_pinned(visit: Visit, shop: Shop) -> None:
    page = visit.page
    shop.visit(3)
    visit.go(f"{shop.dashboard}profile?id={shop.id_of('GET /items/{id}')}")
    page.fill("input[name='targets.latency']", "2.5")
    page.fill("input[name='targets.throughput']", "7")
    with page.expect_navigation():
        page.get_by_role("button", name="Set targets").click()
    assert "2.50\u202fms" in page.inner_text("main")
    with page.expect_navigation():
        page.get_by_role("button", name="Pin the baseline to now").click()
    assert "pinned" in page.inner_text("main")


def test_profiles_are_created_compared_and_forgotten(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}profiles")
    page.fill("section:has(#create-title) input[name=name]", "GET /new/{id}")
    page.get_by_role("button", name="Create").click()
    page.wait_for_selector("h1:has-text('GET /new/{id}')")
    assert "Nothing was counted in this range" in page.inner_text("#course")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Forget this profile").click()
    page.wait_for_url(f"{shop.dashboard}profiles")
    assert page.get_by_role("link", name="GET /new/{id}").count() == 0
    page.fill("section:has(#compare-title) input[name=first]", "GET /basket")
    page.fill("section:has(#compare-title) input[name=second]", "GET /items/{id}")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_selector("h2:has-text('is faster')")
    assert "GET /items/{id} is faster" in page.inner_text("main")


def test_a_url_is_explained(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}caching")
    assert "memory" in page.inner_text("#layers")
    assert "/items/*" in page.inner_text("#rules")
    page.fill("#explain input[name=url]", "/items/3")
    page.get_by_role("button", name="Explain").click()
    sync_api.expect(page.locator("#explained")).to_contain_text("Fresh for the ttl of a CacheRule")
    page.fill("#explain input[name=url]", "/fails")
    page.get_by_role("button", name="Explain").click()
    sync_api.expect(page.locator("#explained dd").first).to_contain_text("no")


def test_the_cache_is_browsed_and_purged(visit: Visit, shop: Shop) -> None:
    page = visit.page
    for number in (1, 2, 3):
        shop.get(f"/items/{number}")
    visit.go(f"{shop.dashboard}caching")
    sync_api.expect(page.locator("#uses")).to_contain_text("GET /items/{id}")
    page.fill("#browse input", f"{shop.url}/items/")
    page.get_by_role("button", name="List keys").click()
    rows = page.locator("#keys tbody tr")
    sync_api.expect(rows.first).to_be_visible()
    before = rows.count()
    page.get_by_role("button", name="Look at").first.click()
    sync_api.expect(page.locator("#keys dl")).to_contain_text("status 200")
    page.get_by_role("button", name="Look at").first.click()
    page.get_by_role("button", name="Purge GET").first.click()
    sync_api.expect(page.locator("#message")).to_have_text("1 removed.")
    assert rows.count() == before - 1
    page.select_option("#purge select", "prefix")
    page.fill("#purge input[name=value]", f"{shop.url}/items/")
    page.get_by_role("button", name="Count").click()
    sync_api.expect(page.locator("#message")).to_have_text(f"{before - 1} would be removed.")
    page.get_by_role("button", name="Purge", exact=True).click()
    sync_api.expect(page.locator("#message")).to_have_text(f"{before - 1} removed.")


def test_keys_come_in_pages_and_those_with_secrets_can_be_looked_at(visit: Visit, shop: Shop) -> None:
    page = visit.page
    for number in range(101):
        shop.get(f"/items/1?token={number}")
    visit.go(f"{shop.dashboard}caching")
    page.fill("#browse input", f"{shop.url}/items/1?token")
    page.get_by_role("button", name="List keys").click()
    sync_api.expect(page.locator("#keys")).to_contain_text("Keys 1 to 100.")
    sync_api.expect(page.locator("#keys tbody tr")).to_contain_text(
        ["100 keys that differ in what is hidden"]
    )
    page.get_by_role("button", name="Next").click()
    sync_api.expect(page.locator("#keys")).to_contain_text("Keys 101 to 101, the last.")
    page.get_by_role("button", name="Look at").click()
    sync_api.expect(page.locator("#keys dl")).to_contain_text("101 keys look so without their secrets")
    page.get_by_role("button", name="Previous").click()
    sync_api.expect(page.get_by_role("button", name="Next")).to_be_visible()
    page.get_by_role("button", name="Purge GET").click()
    sync_api.expect(page.locator("#message")).to_have_text("101 removed.")


def test_who_blocked_the_loop_is_named(visit: Visit, shop: Shop) -> None:
    visit.go(f"{shop.dashboard}resources")
    page = visit.page
    sync_api.expect(page.locator("#slow")).to_contain_text("shop.blocks", timeout=15_000)
    assert page.locator("#loops tbody tr").count() == 1
    assert {"cpu", "memory"} <= set(page.locator("#pools tbody th").all_inner_texts())
    assert "GET /basket" in page.inner_text("#using")


def test_web_vitals_stand_by_route(visit: Visit, shop: Shop) -> None:
    shop.vitals()
    visit.go(f"{shop.dashboard}profiles")
    sync_api.expect(visit.page.locator("#vitals")).to_contain_text("GET /basket", timeout=15_000)
    assert "poor" in visit.page.inner_text("#vitals")


def test_everything_can_be_stopped(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}optimization")
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#part-run .options summary").click()
    page.fill("input[name=block_seconds]", "30")
    page.get_by_role("button", name="Start Optimization").click()
    sync_api.expect(page.locator("#message")).to_contain_text("has started")
    stop = page.get_by_role("button", name="Stop everything and roll back")
    if stop.is_enabled():
        stop.click()
        sync_api.expect(page.locator("#message")).to_have_text("Done.")
    sync_api.expect(page.locator("#part-run .state")).to_have_text("idle", timeout=15_000)


def test_numbers_follow_without_a_reload(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}profile?id={shop.id_of('GET /items/{id}')}&window=60")
    before = int(page.locator("#windows tbody tr:last-child td").first.inner_text())
    page.locator("#windows .copy summary").focus()
    page.evaluate("document.activeElement.dataset.old = 'yes'")
    for number in range(20):
        shop.get(f"/items/{number % 5}")
    expected = re.compile(f"^{before + 20}$")
    sync_api.expect(page.locator("#windows tbody tr:last-child td").first).to_have_text(
        expected, timeout=20_000
    )
    focus = "[document.activeElement.closest('section')?.id, document.activeElement.textContent]"
    assert page.evaluate(focus) == ["windows", "Copy this panel"], "the focus stays where it was"
    assert page.evaluate("document.activeElement.dataset.old") is None, "on what took the place"


def test_the_charts_of_a_profile_have_one_crosshair_and_a_zoom(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}profile?id={shop.id_of('GET /basket')}&window=60")
    charts, readout = page.locator("figure[data-start] .plot svg"), page.locator("#course .readout")
    assert charts.count() == 2
    charts.first.scroll_into_view_if_needed()
    box = charts.first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20)
    sync_api.expect(readout).to_contain_text("UTC: Requests")
    crosses = page.locator("figure[data-start] .cross")
    assert len({crosses.nth(n).get_attribute("d") for n in range(2)}) == 1
    assert (crosses.first.get_attribute("d") or "").startswith("M")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30)
    page.mouse.up()
    boxes = [(charts.nth(n).get_attribute("viewBox") or "").split() for n in range(2)]
    assert boxes[0] == boxes[1]
    assert 300 < float(boxes[0][2]) < 500
    page.get_by_role("button", name="End the zoom").click()
    assert charts.first.get_attribute("viewBox") == "0 0 1000 200"
    charts.nth(1).focus()
    before = crosses.first.get_attribute("d")
    page.keyboard.press("ArrowLeft")
    assert crosses.first.get_attribute("d") != before
    sync_api.expect(readout).to_contain_text("UTC: Requests")


def test_a_panel_is_copied_as_curl_as_json_and_as_settings(browser: Any, shop: Shop) -> None:
    visit = opened(browser)
    page = visit.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=shop.url)
    visit.go(f"{shop.dashboard}caching")
    copied = {}
    for kind, name in (("curl", "as curl"), ("json", "as JSON"), ("python", "as Python config")):
        page.locator("#rules .copy summary").click()
        page.locator("#rules").get_by_role("button", name=name).click()
        sync_api.expect(page.locator("#message")).to_have_text("Copied.")
        copied[kind] = page.evaluate("navigator.clipboard.readText()")
        page.evaluate("document.getElementById('message').textContent = ''")
    assert copied["curl"].endswith(f"'{shop.dashboard}api/v1/rules'")
    assert json.loads(copied["json"])["items"][0]["path"] == "/items/*"
    names: dict[str, Any] = {}
    exec(copied["python"], names)
    assert isinstance(names["settings"], Settings)
    assert names["settings"].cache_rules[0].path == "/items/*"
    assert "# from keyword" in copied["python"]
    for path in PATHS:
        visit.go(f"{shop.dashboard}{path}")
        bare = "[...document.querySelectorAll('#parts section.panel')].filter(s => !s.querySelector('.copy'))"
        unnamed = page.evaluate(f"{bare}.map(s => s.getAttribute('aria-labelledby'))")
        assert [one for one in unnamed if one != "standing-title"] == [], path
    page.context.close()
    assert visit.complaints == []


def test_other_sizes_and_lifetimes_are_tried(visit: Visit, shop: Shop) -> None:
    page = visit.page
    shop.visit(30)
    visit.go(f"{shop.dashboard}caching")
    page.get_by_role("button", name=re.compile("^Try it")).click()
    sync_api.expect(page.locator("#whatif .plot svg")).to_be_visible(timeout=15_000)
    assert page.locator("#whatif .plot .series").count() == 4
    said = page.locator("#curve-says")
    sync_api.expect(said).to_contain_text("lru")
    before = said.inner_text()
    page.locator("[data-curve]").focus()
    page.keyboard.press("Home")
    assert said.inner_text() != before
    assert "lived for" in page.inner_text("#whatif")
    assert "reads of about" in page.inner_text("#whatif")


def test_a_page_can_be_paused(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(shop.dashboard)
    page.get_by_role("button", name="Pause").click()
    sync_api.expect(page.locator("#live")).to_have_text("Paused")
    requests = page.locator("[data-samples]").nth(1)  # of the hit rate: all there were
    shown = requests.inner_text()
    shop.visit(3)
    page.wait_for_timeout(2_500)
    assert requests.inner_text() == shown
    page.get_by_role("button", name="Pause").click()
    sync_api.expect(page.locator("#live")).to_have_text("Live")
    sync_api.expect(requests).not_to_have_text(shown, timeout=15_000)
