"""The first page, and the parts of it that the browser asks for again when they change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts import DashboardPanel
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.host import Host
from perfmw.dashboard.pages.shell import common
from perfmw.dashboard.render import render
from perfmw.dashboard.report import stats_of
from perfmw.dashboard.view import outcomes, reasons, route_table

logger = logging.getLogger("perfmw.dashboard")

CARDS = ("performance_score", "cache_hit_rate", "resource_efficiency", "response_time")
LEDGER_LINES = 12
PANEL_ROWS = 50
REUSE_SECONDS = 1.0


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


def _parts(context: Context, max_age: float) -> dict[str, Any]:
    host: Host = context.host
    snapshot = context.snapshots.get(max_age)
    return {
        **common(context, "overview", snapshot),
        "reasons": reasons(snapshot.cache_status),
        "requests": sum(snapshot.cache_status.values()),
        "ledger": outcomes(host.ledger, LEDGER_LINES),
        "standing": [entry.opportunity.title for entry in host.ledger.kept()],
        "panels": [panel_view(panel) for panel in host.panels],
        "alerts": [alert for alert in host.alerts if alert.resolved_at is None],
    }


async def show(context: Context, request: Request) -> Response:
    parts = _parts(context, 0.0)
    overview = context.host.overview()
    return render(
        context,
        request,
        "overview.html",
        cards=list(zip(CARDS, stats_of(overview), strict=True)),
        table=route_table(parts["snapshot"]),
        site=f"{request.url.scheme}://{request.headers.get('host', 'localhost')}",
        **parts,
    )


async def show_parts(context: Context, request: Request) -> Response:
    return render(context, request, "parts.html", **_parts(context, REUSE_SECONDS))


PAGES: dict[str, Handler] = {"/": show, "/parts": show_parts}
