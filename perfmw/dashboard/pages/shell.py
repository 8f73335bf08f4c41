"""What the pages have in common: the tabs, and what the header shows."""

from __future__ import annotations

from typing import Any

from perfmw.contracts import RuntimeSnapshot
from perfmw.dashboard.context import Context
from perfmw.dashboard.view import run_view, titles

TABS = (
    ("overview", "", "Overview"),
    ("profiles", "profiles", "Performance Profiles"),
    ("caching", "caching", "Caching"),
    ("resources", "resources", "Resource Management"),
    ("optimization", "optimization", "Optimization"),
)
"""Key, path and label of each tab."""


def common(context: Context, tab: str, snapshot: RuntimeSnapshot | None = None) -> dict[str, Any]:
    """The values that every page needs; a snapshot of up to a second ago if none is given."""
    host = context.host
    return {
        "tab": tab,
        "tabs": TABS,
        "snapshot": snapshot or context.snapshots.get(1.0),
        "run": run_view(host.optimization_state(), titles(host.ledger)),
    }
