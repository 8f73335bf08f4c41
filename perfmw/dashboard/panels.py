"""A plugin's panel with its rows; its faults are told instead."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perfmw.contracts import DashboardPanel

logger = logging.getLogger("perfmw.dashboard")

PANEL_ROWS: Final = 50


@dataclass(frozen=True, slots=True)
class PanelView:
    """A plugin's panel; ``error`` says that its rows could not be had."""

    id: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    error: str = ""


def panel_view(panel: DashboardPanel) -> PanelView:
    """Never raises: a plugin's fault must not take the page down."""
    try:
        rows = [[str(cell) for cell in row] for row in list(panel.rows())[:PANEL_ROWS]]
    except Exception as exc:
        logger.warning("dashboard panel %r failed", panel.id, exc_info=True)
        return PanelView(panel.id, panel.title, panel.columns, (), f"{type(exc).__name__}: {exc}")
    return PanelView(panel.id, panel.title, panel.columns, rows)
