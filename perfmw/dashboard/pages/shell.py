"""What the pages have in common: the tabs, what the header shows, and whose figures follow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from perfmw.contracts import DashboardPanel
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


def frame(context: Context, request: Request, tab: str = "", *, ranged: bool = False) -> dict[str, Any]:
    """What every page shows before its figures, none of which takes time. Raises ProblemError 422.

    ``ranged``: the page has charts over time, and so a choice of the range, which other pages pass on.
    """
    host, window = context.host, window_of(request)
    there = shares_a_layer(host)
    rest = [(name, value) for name, value in request.query_params.multi_items() if name != "window"]
    return {
        "tab": tab,
        "tabs": TABS,
        "more": [*(FLEET if there else ()), *MORE, *page_links(host.panels)],
        "fleet_there": there,
        "run": run_view(host.optimization_state(), titles(host.ledger)),
        "window": window,
        "windows": WINDOWS,
        "kept": "" if window == DEFAULT_WINDOW else f"?window={window:.0f}",
        "ranged": ranged,
        "range_href": f"?{urlencode([*rest, ('window', '')])}",
    }


def figures_of(context: Context, window: float, max_age: float = 1.0) -> dict[str, Any]:
    """The snapshot that a page shows (``max_age`` in seconds), whose it is, and how far charts reach."""
    snapshot = context.snapshots.get(max_age)
    return {
        "snapshot": snapshot,
        "whose": whose(len(snapshot.processes)),
        "reach": reach_of(context.host, snapshot.taken_at, window),
    }


def whose(workers: int) -> str:
    """Whose numbers a page shows."""
    return f"of all {workers} workers of this host" if workers > 1 else "of this process"


def page_links(panels: Iterable[DashboardPanel]) -> list[tuple[str, str]]:
    """Path and title of the pages that plugins add; several panels may share one."""
    titles = dict.fromkeys(panel.page for panel in panels if panel.page)
    return [(f"page?{urlencode({'title': title})}", title) for title in titles]
