"""What the pages have in common: the tabs, and what the header shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from perfmw.contracts import DashboardPanel, RuntimeSnapshot
from perfmw.dashboard.asked import DEFAULT_WINDOW, reach_of, shares_a_layer, window_of
from perfmw.dashboard.context import Context
from perfmw.dashboard.details import WINDOWS
from perfmw.dashboard.view import run_view, titles

TABS = (
    ("overview", "", "Overview"),
    ("profiles", "profiles", "Performance Profiles"),
    ("caching", "caching", "Caching"),
    ("resources", "resources", "Resource Management"),
    ("optimization", "optimization", "Optimization"),
)
"""Key, path and label of each tab."""


FLEET = (("fleet", "Fleet"),)
"""Where hosts share a layer."""
MORE = (("alerts", "Alerts"), ("plugins", "Plugins"), ("settings", "Settings"))
"""Path and label of the pages beside the tabs."""


def common(
    context: Context,
    request: Request,
    tab: str,
    snapshot: RuntimeSnapshot | None = None,
    *,
    ranged: bool = False,
) -> dict[str, Any]:
    """The values that every page needs; a snapshot of up to a second ago if none is given.

    ``ranged``: the page has charts over time, and so a choice of the range, which other pages pass on.
    """
    host, window = context.host, window_of(request)
    shown = snapshot or context.snapshots.get(1.0)
    there = shares_a_layer(host)
    rest = [(name, value) for name, value in request.query_params.multi_items() if name != "window"]
    return {
        "tab": tab,
        "tabs": TABS,
        "more": [*(FLEET if there else ()), *MORE, *page_links(host.panels)],
        "fleet_there": there,
        "whose": whose(len(shown.processes)),
        "snapshot": shown,
        "run": run_view(host.optimization_state(), titles(host.ledger)),
        "window": window,
        "windows": WINDOWS,
        "reach": reach_of(host, shown.taken_at, window),
        "kept": "" if window == DEFAULT_WINDOW else f"?window={window:.0f}",
        "ranged": ranged,
        "range_href": f"?{urlencode([*rest, ('window', '')])}",
    }


def whose(workers: int) -> str:
    """Whose numbers a page shows."""
    return f"of all {workers} workers of this host" if workers > 1 else "of this process"


def page_links(panels: Iterable[DashboardPanel]) -> list[tuple[str, str]]:
    """Path and title of the pages that plugins add; several panels may share one."""
    titles = dict.fromkeys(panel.page for panel in panels if panel.page)
    return [(f"page?{urlencode({'title': title})}", title) for title in titles]
