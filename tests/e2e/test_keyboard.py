"""Every page and every action with nothing but a keyboard."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import CHROMIUM, Shop, Visit, opened
from tests.e2e.test_pages import PATHS, every_page

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

WATCH = """() => {
  window.stops = [];
  addEventListener("keyup", () => {
    const node = document.activeElement;
    if (!node || node === document.body) return window.stops.push(null);
    const style = getComputedStyle(node), box = node.getBoundingClientRect();
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
    const again = node.dataset.reached === "yes";
    node.dataset.reached = "yes";
    window.stops.push({
      what: node.outerHTML.slice(0, 90),
      visible: ring && box.width > 0 && box.height > 0,
      inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
      again,
    });
  }, true);
}"""
"""Every release of a key notes what has the focus then."""
FROM_THE_TOP = "document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')"
MISSED = """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
  .filter((node) => node.checkVisibility() && !node.disabled && node.tabIndex >= 0)
  .filter((node) => !(node.closest("details:not([open])") && node.tagName !== "SUMMARY"))
  .filter((node) => node.type !== "hidden" && !node.dataset.reached)
  .map((node) => node.outerHTML.slice(0, 90))"""


def walk(page: Any, most: int = 400, at_once: int = 20) -> list[dict[str, Any]]:
    """Tab through the page once; what had the focus, in turn."""
    page.evaluate(WATCH)
    for _ in range(0, most, at_once):
        for _ in range(at_once):
            page.keyboard.press("Tab")
        stops = page.evaluate("window.stops")
        once = stops[: stops.index(None)] if None in stops else stops
        assert not any(one["again"] for one in once), "the focus goes round in circles"
        if None in stops:
            return list(once)
    raise AssertionError(f"the focus does not come to an end: {stops[-3:]}")


def reach(page: Any, wanted: Any, most: int = 400) -> None:
    """Tab until ``wanted`` has the focus; it may be another node by then, as parts follow the numbers."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if wanted.evaluate("node => node === document.activeElement", timeout=5_000):
            return
    raise AssertionError(f"{wanted} is not reached by Tab")


def press(page: Any, wanted: Any, key: str = "Enter") -> None:
    reach(page, wanted)
    page.keyboard.press(key)


def write(page: Any, wanted: Any, text: str) -> None:
    reach(page, wanted)
    page.keyboard.press("Control+a")
    page.keyboard.type(text)


Stops = dict[str, tuple[list[dict[str, Any]], list[str]]]
"""Of each page: what had the focus, and what can be used and never had it."""


def walked(browser: Any, shop: Shop) -> Stops:
    visit = opened(browser)
    found = {}
    for path in every_page(shop):
        visit.go(f"{shop.dashboard}{path}")
        if path != "report":
            visit.page.get_by_role("button", name="Pause").click()
            visit.page.evaluate(FROM_THE_TOP)
        found[path] = walk(visit.page), visit.page.evaluate(MISSED)
    visit.page.context.close()
    assert visit.complaints == []
    return found


def test_every_page_is_walked_through(browser: Any, shop: Shop) -> None:
    """All that can be used is reached, the focus is seen wherever it is, and nothing keeps it."""
    stops = walked(browser, shop)
    assert {path: missed for path, (_, missed) in stops.items() if missed} == {}
    assert all(10 < len(seen) < 300 for path, (seen, _) in stops.items() if path != "report")
    unseen = [
        (path, stop["what"])
        for path, (seen, _) in stops.items()
        for stop in seen
        if not (stop["visible"] and stop["inside"])
    ]
    assert unseen == []


def test_the_skip_link_leads_to_the_content(visit: Visit, shop: Shop) -> None:
    visit.go(shop.dashboard)
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Enter")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.querySelector('main').contains(document.activeElement)")


@pytest.mark.parametrize("path", PATHS[:5])
def test_motion_stops_for_those_who_asked(browser: Any, shop: Shop, path: str) -> None:
    visit = opened(browser, reduced_motion="reduce")
    visit.go(f"{shop.dashboard}{path}")
    moving = visit.page.evaluate(
        "document.getAnimations().map((one) => one.animationName ?? one.transitionProperty)"
    )
    visit.page.context.close()
    assert moving == []


ALIKE = """() => [...document.querySelectorAll("figure.chart")].flatMap((chart) => {
  const looks = [...chart.querySelectorAll(".plot .series, .plot .mark")].map((line) => {
    const style = getComputedStyle(line);
    return `${style.strokeDasharray} ${style.strokeWidth}`;
  });
  return new Set(looks).size === looks.length ? [] : [looks];
})"""


def test_lines_differ_by_more_than_their_colour(visit: Visit, shop: Shop) -> None:
    alike = {}
    for path in (*PATHS[:5], f"profile?id={shop.id_of('GET /basket')}"):
        visit.go(f"{shop.dashboard}{path}")
        alike[path] = visit.page.evaluate(ALIKE)
    assert {path: looks for path, looks in alike.items() if looks} == {}


# -- actions, tab by tab ------------------------------------------------------------------------------------


def message(page: Any) -> Any:
    return sync_api.expect(page.locator("#message"))


def button(page: Any, name: str, **more: Any) -> Any:
    return page.get_by_role("button", name=name, exact=True, **more).first


def test_the_overview_by_keyboard(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(shop.dashboard)
    press(page, button(page, "Pause"), "Space")
    sync_api.expect(page.locator("#live")).to_have_text("Paused")
    press(page, page.locator("#theme"))
    assert page.evaluate("document.documentElement.dataset.theme") in ("light", "dark")
    table = page.locator('[data-card="response_time"] details')
    press(page, table.locator("summary"))
    assert table.evaluate("node => node.open")
    chart = page.locator("#course .plot svg").first
    press(page, chart, "ArrowLeft")
    sync_api.expect(page.locator(".readout").first).to_contain_text("UTC")
    press(page, page.locator("#routes thead button").nth(2))
    assert page.locator("#routes thead th").nth(2).get_attribute("aria-sort") == "descending"
    write(page, page.locator("#filter"), "basket")
    assert page.locator("#routes tbody tr:visible").count() == 1


def test_profiles_by_keyboard(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}profiles")
    write(page, page.locator("input[name=q]"), "items")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=items**")
    press(page, page.get_by_role("link", name="GET /items/{id}"))
    page.wait_for_selector("h1:has-text('GET /items/{id}')")
    write(page, page.locator("input[name='targets.latency']"), "3")
    write(page, page.locator("input[name='targets.throughput']"), "5")
    with page.expect_navigation():
        press(page, button(page, "Set targets"))
    visit.go(f"{shop.dashboard}profiles")
    write(page, page.locator("section:has(#create-title) input[name=name]"), "GET /by/keyboard")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('GET /by/keyboard')")
    page.on("dialog", lambda dialog: dialog.accept())
    with page.expect_navigation():
        press(page, button(page, "Forget this profile"), "Space")
    page.wait_for_url(f"{shop.dashboard}profiles")


def test_caching_by_keyboard(visit: Visit, shop: Shop) -> None:
    page = visit.page
    shop.get("/items/4")
    visit.go(f"{shop.dashboard}caching")
    write(page, page.locator("#explain input"), "/items/3")
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("#explained")).to_contain_text("Fresh for the ttl")
    write(page, page.locator("#browse input"), "GET ")
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("#keys tbody tr").first).to_be_visible()
    press(page, page.get_by_role("button", name="Look at").first)
    sync_api.expect(page.locator("#keys dl")).to_contain_text("status 200")
    reach(page, page.locator("#purge select"))
    page.keyboard.type("prefix")
    assert page.locator("#purge select").input_value() == "prefix"
    write(page, page.locator("#purge input[name=value]"), f"{shop.url}/items/4")
    press(page, button(page, "Count"))
    message(page).to_have_text("1 would be removed.")
    press(page, page.locator("#purge button[value=purge]"))
    message(page).to_have_text("1 removed.")


def test_resources_by_keyboard(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}resources")
    write(page, page.locator("section:has(#manager-title) input[name=name]"), "by keyboard")
    page.keyboard.press("Enter")
    remove = page.get_by_role("button", name="Remove by keyboard")
    sync_api.expect(remove).to_be_visible()
    press(page, remove)
    sync_api.expect(remove).to_have_count(0)


def test_optimization_by_keyboard(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}optimization")
    page.on("dialog", lambda dialog: dialog.accept())
    switch = page.get_by_role("switch")
    for state in ("true", "false"):
        press(page, switch, "Space")
        sync_api.expect(switch).to_have_attribute("aria-checked", state)
    press(page, page.locator("#part-run .options summary"))
    write(page, page.locator("input[name=block_seconds]"), "30")
    press(page, page.locator("#start"))
    message(page).to_contain_text("has started")
    stop = button(page, "Stop everything and roll back")
    if stop.is_enabled():
        press(page, stop)
    sync_api.expect(page.locator("#part-run .state")).to_have_text("idle", timeout=15_000)


def test_alerts_and_copies_by_keyboard(visit: Visit, shop: Shop) -> None:
    page = visit.page
    visit.go(f"{shop.dashboard}alerts")
    write(page, page.locator("input[name=pattern]"), "GET /keys/*")
    write(page, page.locator("form:has([name=pattern]) input[name=why]"), "typed")
    page.keyboard.press("Enter")
    end = page.get_by_role("button", name="End the silence of GET /keys/*")
    sync_api.expect(end).to_be_visible()
    press(page, end)
    sync_api.expect(end).to_have_count(0)
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    press(page, page.locator("#alerts .copy summary"))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    message(page).to_have_text("Copied.")
    assert page.evaluate("window.copied").startswith("curl ")
    assert page.locator("#alerts .copy summary").evaluate("node => node === document.activeElement")
