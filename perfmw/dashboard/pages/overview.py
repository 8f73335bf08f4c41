"""The first page, and the parts of it that the browser asks for again when they change."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.asked import events_of_host, score_of_host, site_of_host, vital_reports
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.details import vitals
from perfmw.dashboard.host import RECENT, Host
from perfmw.dashboard.pages.panels import panels_of
from perfmw.dashboard.pages.shell import figures_of, frame
from perfmw.dashboard.render import render
from perfmw.dashboard.report import stats_of
from perfmw.dashboard.site import site_charts
from perfmw.dashboard.view import outcomes, reasons, route_table
from perfmw.runtime.owncost import cost_of

CARDS = ("performance_score", "cache_hit_rate", "resource_efficiency", "response_time")
LEDGER_LINES = 12
EVENTS = 12
VITALS = 8
REUSE_SECONDS = 1.0


def _parts(context: Context, window: float, max_age: float) -> dict[str, Any]:
    host: Host = context.host
    shown = figures_of(context, window, max_age)
    snapshot = shown["snapshot"]
    now, reach = snapshot.taken_at, shown["reach"]
    site, events = site_of_host(host, now, reach), events_of_host(host, now, reach)
    told = vitals(snapshot.profiles)[:VITALS]
    return {
        **shown,
        "site": site,
        "charts": site_charts(site, now, events) if site is not None else {},
        "events": events[:EVENTS],
        "score": score_of_host(host),
        "cost": cost_of(host, site.whole) if site is not None else None,
        "vitals": told,
        "reports": vital_reports(host, told),
        "reasons": reasons(snapshot.cache_status),
        "requests": sum(snapshot.cache_status.values()),
        "ledger": outcomes(host.ledger, LEDGER_LINES),
        "standing": [entry.opportunity.title for entry in host.ledger.kept()],
        "panels": panels_of(context),
        "alerts": [alert for alert in host.alerts if alert.resolved_at is None],
    }


async def show(context: Context, request: Request) -> Response:
    shared = frame(context, request, "overview", ranged=True)
    address = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
    rest = partial(_figures, context, shared["window"])
    return await render(context, request, "overview.html", rest, address=address, **shared)


def _figures(context: Context, window: float) -> dict[str, Any]:
    parts = _parts(context, window, RECENT)
    cards = list(zip(CARDS, stats_of(context.host.overview()), strict=True))
    return {"cards": cards, "table": route_table(parts["snapshot"]), **parts}


async def show_parts(context: Context, request: Request) -> Response:
    shared = frame(context, request, "overview", ranged=True)
    return await render(
        context, request, "parts.html", **shared, **_parts(context, shared["window"], REUSE_SECONDS)
    )


PAGES: dict[str, Handler] = {"/": show, "/parts": show_parts}
