"""The first page, and the parts of it that the browser asks for again when they change."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.asked import events_of_host, score_of_host, site_of_host, vital_reports
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.details import vitals
from perfmw.dashboard.host import RECENT, Host
from perfmw.dashboard.pages.panels import panels_of
from perfmw.dashboard.pages.shell import common
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


def _parts(context: Context, request: Request, max_age: float) -> dict[str, Any]:
    host: Host = context.host
    snapshot = context.snapshots.get(max_age)
    shared = common(context, request, "overview", snapshot, ranged=True)
    now, reach = snapshot.taken_at, shared["reach"]
    site, events = site_of_host(host, now, reach), events_of_host(host, now, reach)
    told = vitals(snapshot.profiles)[:VITALS]
    return {
        **shared,
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
    parts = _parts(context, request, RECENT)
    overview = context.host.overview()
    return await render(
        context,
        request,
        "overview.html",
        cards=list(zip(CARDS, stats_of(overview), strict=True)),
        table=route_table(parts["snapshot"]),
        address=f"{request.url.scheme}://{request.headers.get('host', 'localhost')}",
        **parts,
    )


async def show_parts(context: Context, request: Request) -> Response:
    return await render(context, request, "parts.html", **_parts(context, request, REUSE_SECONDS))


PAGES: dict[str, Handler] = {"/": show, "/parts": show_parts}
