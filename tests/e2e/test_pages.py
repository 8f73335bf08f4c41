"""What holds of every page: small, readable by all, one time range; and the pages beside the tabs."""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import CHROMIUM, Shop, Visit, opened, serving

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
TABS = ("", "profiles", "caching", "resources", "optimization")
PATHS = (*TABS, "fleet", "alerts", "plugins", "settings")
WIRE: int = 40 * 1024
PICTURES = os.environ.get("PERFMW_SCREENSHOTS")
"""A folder to leave pictures of the tabs in: ``docs/images`` for those of the documentation."""
LOAD_SECONDS = float(os.environ.get("PERFMW_SCREENSHOT_SECONDS", "45" if PICTURES else "0.5"))


def every_page(shop: Shop) -> list[str]:
    basket, fails = shop.id_of("GET /basket"), shop.id_of("GET /fails")
    rest = ("report", "page?title=Stock", f"trace?id={shop.slow_trace('GET /basket')}")
    return [*PATHS, *rest, f"profile?id={basket}", f"compare?first={basket}&second={fails}"]


@pytest.mark.parametrize("path", PATHS)
def test_the_first_load_is_small(browser: Any, shop: Shop, path: str) -> None:
    """Everything but the event stream, headers left out, as compressed on the wire."""
    visit = opened(browser)
    session = visit.page.context.new_cdp_session(visit.page)
    session.send("Network.enable")
    sizes: dict[str, float] = {}
    session.on("Network.loadingFinished", lambda e: sizes.__setitem__(e["requestId"], e["encodedDataLength"]))
    visit.go(f"{shop.dashboard}{path}")
    visit.page.wait_for_timeout(500)
    assert 5_000 < sum(sizes.values()) <= WIRE
    assert visit.complaints == []
    visit.page.context.close()


def test_without_scripts_all_of_a_page_is_read(browser: Any, shop: Shop) -> None:
    """What lies below the first screen is text to a browser with scripts, until it has drawn that."""
    visit, plain = opened(browser), opened(browser, java_script_enabled=False)
    panels = "section.panel h2:visible"
    for path in ("", "caching", f"profile?id={shop.id_of('GET /basket')}"):
        visit.go(f"{shop.dashboard}{path}")
        plain.page.goto(f"{shop.dashboard}{path}")
        told = plain.page.locator(panels).all_inner_texts()
        assert told
        assert visit.page.locator(panels).all_inner_texts() == told, path
        assert visit.page.locator("noscript:visible").count() == 0
        assert plain.page.locator("noscript.note p").is_visible(), "it says that it stays as it is"
    visit.go(f"{shop.dashboard}#part-ledger")
    sync_api.expect(visit.page.locator("#part-ledger")).to_be_in_viewport()
    for one in (visit, plain):
        one.page.context.close()
        assert one.complaints == []


def test_a_phone_needs_no_sideways_scrolling(browser: Any, shop: Shop) -> None:
    visit = opened(browser, viewport={"width": 360, "height": 740})
    wide = {}
    for path in every_page(shop):
        visit.go(f"{shop.dashboard}{path}")
        wide[path] = visit.page.evaluate("document.documentElement.scrollWidth")
    visit.page.context.close()
    assert set(wide.values()) == {360}, wide
    assert visit.complaints == []


@pytest.mark.parametrize("half", [0, 1])
def test_nothing_serious_keeps_anybody_out(browser: Any, shop: Shop, half: int) -> None:
    """axe-core on every page; what may differ between the themes, contrast, in both."""
    visit = opened(browser, color_scheme="light")
    found = []
    for path in every_page(shop)[half::2]:
        visit.page.emulate_media(color_scheme="light")
        visit.go(f"{shop.dashboard}{path}")
        found += [("light", path, *one) for one in visit.barriers()]
        visit.page.emulate_media(color_scheme="dark")
        found += [("dark", path, *one) for one in visit.barriers("color-contrast")]
    visit.page.context.close()
    assert found == []
    assert visit.complaints == []


CROOKED = """[...document.querySelectorAll("table")].flatMap((table) => {
  const row = table.tBodies[0]?.rows[0], head = table.tHead?.rows[0];
  if (!row || !head || row.cells.length !== head.cells.length) return [];
  const side = (cell) => getComputedStyle(cell).textAlign.replace("start", "left").replace("end", "right");
  const crooked = (cell, n) => !cell.querySelector(".vh") && side(cell) !== side(row.cells[n]);
  return [...head.cells].filter(crooked).map((cell) => cell.innerText);
})"""


def test_heads_stand_above_what_they_name(visit: Visit, shop: Shop) -> None:
    crooked = {}
    for path in every_page(shop):
        visit.go(f"{shop.dashboard}{path}")
        crooked[path] = visit.page.evaluate(CROOKED)
    assert {path: heads for path, heads in crooked.items() if heads} == {}


# -- one time range -----------------------------------------------------------------------------------------


def test_the_time_range_is_kept_from_tab_to_tab(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(shop.dashboard)
    page.get_by_role("link", name="1 h", exact=True).click()
    page.wait_for_url("**/?window=3600")
    for tab in ("Caching", "Performance Profiles", "Resource Management"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_url("**window=3600")
    chosen = page.get_by_role("link", name="1 h", exact=True)
    assert chosen.get_attribute("aria-current") == "true"
    page.get_by_role("link", name="1 min", exact=True).click()
    page.wait_for_url("**/resources?window=60")


@pytest.mark.parametrize(("path", "charts"), [("", 3), ("caching", 2), ("resources", 2)])
def test_all_charts_of_a_page_have_one_crosshair_and_zoom(
    visit: Visit, shop: Shop, path: str, charts: int
) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}{path}")
    plots = page.locator("figure[data-start] .plot svg")
    sync_api.expect(plots).to_have_count(charts)
    page.get_by_role("button", name="Pause").click()
    plots.first.scroll_into_view_if_needed()
    box = plots.first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + 20)
    crosses = page.locator("figure[data-start] .cross").evaluate_all(
        "all => all.map(one => one.getAttribute('d'))"
    )
    assert len(set(crosses)) == 1
    assert crosses[0].startswith("M")
    assert "UTC: " in page.locator(".readout").first.inner_text()
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30)
    page.mouse.up()
    views = plots.evaluate_all("all => all.map(one => one.getAttribute('viewBox'))")
    assert len(set(views)) == 1
    assert views[0] != "0 0 1000 200"
    page.keyboard.press("Tab")
    plots.last.focus()
    page.keyboard.press("Escape")
    assert plots.first.get_attribute("viewBox") == "0 0 1000 200"


def test_the_table_behind_a_chart_has_its_points(visit: Visit, shop: Shop) -> None:
    shop.visit(2)
    visit.page.wait_for_timeout(2_000)  # until the next round counts them
    visit.go(f"{shop.dashboard}?window=60")
    page = visit.page
    page.locator("#course details.data summary").click()
    rows = page.locator("#course details.data tbody tr")
    assert rows.count() >= 1
    assert all(cell.endswith("Z") for cell in rows.locator("th").all_inner_texts())


# -- the overview -------------------------------------------------------------------------------------------


def test_the_overview_tells_what_happened_and_what_perfmw_takes(visit: Visit, shop: Shop) -> None:
    page = visit.page
    shop.post("api/v1/annotations", {"text": "shop 2.4.1", "who": "ci"})
    visit.go(shop.dashboard)
    sync_api.expect(page.locator("#timeline")).to_contain_text("shop 2.4.1")
    assert "the process started" in page.inner_text("#timeline")
    drawn = page.locator(
        "#course path.event title", has_text="deploy: shop 2.4.1"
    )  # by the next refresh at most
    sync_api.expect(drawn.first).to_be_attached(timeout=20_000)
    told = page.inner_text("#process").replace("\u202f", " ")
    assert re.search(r"perfmw, a hit\s+[\d.]+ (µs|ms), mean of \d+", told), told
    assert re.search(r"perfmw, a request\s+[\d.]+ (µs|ms) of [\d.]+ ms, mean of \d+ sampled", told), told
    assert "of a core since the start" in told
    assert "p95 of misses" in page.inner_text("#course")


# -- beside the tabs ----------------------------------------------------------------------------------------


def test_alerts_are_silenced_and_changes_noted(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(shop.dashboard)
    page.get_by_role("link", name="Alerts", exact=True).click()
    page.wait_for_url("**/alerts")
    page.fill("input[name=pattern]", "GET /reports/*")
    page.fill("input[name=why]", "rebuilding <b>the index</b>")
    page.get_by_role("button", name="Silence", exact=True).click()
    sync_api.expect(page.locator("#silences tbody tr")).to_have_count(1)
    assert "rebuilding <b>the index</b>" in page.inner_text("#silences")
    assert re.search(r"in (59|60)", page.inner_text("#silences tbody"))
    page.get_by_role("button", name="End the silence of GET /reports/*").click()
    sync_api.expect(page.locator("#silences")).to_contain_text("Nothing is silenced")
    page.fill("input[name=text]", "shop 2.5")
    page.get_by_role("button", name="Note it").click()
    sync_api.expect(page.locator("#notes")).to_contain_text("shop 2.5")


def test_settings_stand_with_their_origin(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}settings")
    row = page.locator("#chosen tr", has_text="trace_ratio")
    assert "keyword" in row.inner_text()
    assert "apdex_t" in page.inner_text("#defaults")
    assert "/items/*" in page.inner_text("#rules")
    assert re.search(r"perfmw \d+\.\d+", page.inner_text("#chosen"))


def test_plugins_stand_with_hooks_and_version(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}plugins")
    row = page.locator("#plugins tr", has_text="built-in").first
    assert "active" in row.inner_text()
    row.locator("summary").click()
    assert "perfmw_register_eviction_policies" in row.inner_text()


def test_a_resource_manager_is_created_and_removed(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}resources")
    page.fill("section:has(#manager-title) input[name=name]", "disks")
    page.select_option("select[name=pools]", ["storage"])
    page.get_by_role("button", name="Create").click()
    row = page.locator("#managers tr", has_text="disks")
    sync_api.expect(row).to_contain_text("storage")
    assert "memory" not in row.inner_text()
    page.get_by_role("button", name="Remove disks").click()
    sync_api.expect(row).to_have_count(0)


def test_a_name_that_is_taken_is_refused_in_words(browser: Any, shop: Shop) -> None:
    visit = opened(browser)
    visit.go(f"{shop.dashboard}resources")
    visit.page.fill("section:has(#manager-title) input[name=name]", "host")
    visit.page.get_by_role("button", name="Create").click()
    sync_api.expect(visit.page.locator("#message")).to_contain_text("a resource manager named")
    visit.page.context.close()


# -- a restart ----------------------------------------------------------------------------------------------


def test_a_page_outlives_a_restart_of_the_server(browser: Any) -> None:
    visit = opened(browser)
    with serving() as before:
        before.visit(2)
        visit.go(before.dashboard)
    live = visit.page.locator("#live")
    sync_api.expect(live).to_have_text("Reconnecting", timeout=20_000)
    with serving(int(before.url.rpartition(":")[2])) as after:
        sync_api.expect(live).to_have_text("Live", timeout=30_000)
        after.visit(3)
        sync_api.expect(visit.page.locator('#routes tr:has-text("/basket")')).to_have_count(1, timeout=30_000)
        visit.page.context.close()


# -- pictures -----------------------------------------------------------------------------------------------


@contextmanager
def under_load(shop: Shop) -> Iterator[None]:
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.1):
            shop.visit()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_each_tab_is_pictured_under_load(browser: Any, shop: Shop, tmp_path: Path) -> None:
    folder = Path(PICTURES) if PICTURES else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    visit = opened(browser, viewport={"width": 1200, "height": 800})
    session = visit.page.context.new_cdp_session(visit.page)
    shop.visit(60 if PICTURES else 30)
    shop.post("api/v1/cache/what-if", {})
    with under_load(shop):
        visit.page.wait_for_timeout(LOAD_SECONDS * 1e3)
        for path in TABS:
            visit.page.emulate_media(color_scheme="light")
            visit.go(f"{shop.dashboard}{path}?window=60")
            for scheme, ending in (("light", ""), ("dark", "-dark")):
                visit.page.emulate_media(color_scheme=scheme)
                visit.page.wait_for_timeout(300 if PICTURES else 50)
                picture = session.send("Page.captureScreenshot", {"format": "webp", "quality": 55})
                name = f"{path or 'overview'}{ending}.webp"
                (folder / name).write_bytes(base64.b64decode(picture["data"]))
    visit.page.context.close()
    sizes = {one.name: one.stat().st_size for one in folder.glob("*.webp")}
    assert len(sizes) == 2 * len(TABS)
    assert all(5_000 < size < 100_000 for size in sizes.values()), sizes
    assert visit.complaints == []
