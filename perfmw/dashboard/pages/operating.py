"""Beside the tabs: alerts with who is told and what is silenced, plugins, and settings with their origin."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.settings import setting_rows
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.pages.shell import common
from perfmw.dashboard.render import render

ALERTS = 100
NOTES = 100


async def show_alerts(context: Context, request: Request) -> Response:
    host: Any = context.host
    watching = host.rounds.watching
    alerts = sorted(host.alerts, key=lambda one: one.resolved_at or float("inf"), reverse=True)
    return await render(
        context,
        request,
        "alerts.html",
        **common(context, request, ""),
        alerts=alerts[:ALERTS],
        channels=watching.channels(),
        silences=watching.silences(),
        maintenance=watching.maintenance,
        windows_of_maintenance=host.settings.monitoring.maintenance,
        notes=list(reversed(watching.timeline.items()))[:NOTES],
        now=time.time(),
    )


async def show_plugins(context: Context, request: Request) -> Response:
    plugins = context.host.plugins.describe()
    return await render(context, request, "plugins.html", **common(context, request, ""), plugins=plugins)


async def show_settings(context: Context, request: Request) -> Response:
    settings = context.host.settings
    rows = setting_rows(settings)
    return await render(
        context,
        request,
        "settings.html",
        **common(context, request, ""),
        chosen=[row for row in rows if row.origin != "default"],
        defaults=[row for row in rows if row.origin == "default"],
        rules=context.snapshots.get(1.0).cache_rules,
    )


PAGES: dict[str, Handler] = {
    "/alerts": show_alerts,
    "/plugins": show_plugins,
    "/settings": show_settings,
}
