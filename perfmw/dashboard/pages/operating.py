"""Beside the tabs: alerts with who is told and what is silenced, plugins, and settings with their origin."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.settings import setting_rows
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.pages.shell import figures_of, frame
from perfmw.dashboard.render import render

ALERTS = 100
NOTES = 100


async def show_alerts(context: Context, request: Request) -> Response:
    shared = frame(context, request)
    return await render(
        context, request, "alerts.html", partial(_alerts, context, shared["window"]), **shared
    )


def _alerts(context: Context, window: float) -> dict[str, Any]:
    host: Any = context.host
    watching = host.rounds.watching
    alerts = sorted(host.alerts, key=lambda one: one.resolved_at or float("inf"), reverse=True)
    return {
        **figures_of(context, window),
        "alerts": alerts[:ALERTS],
        "channels": watching.channels(),
        "silences": watching.silences(),
        "maintenance": watching.maintenance,
        "windows_of_maintenance": host.settings.monitoring.maintenance,
        "notes": list(reversed(watching.timeline.items()))[:NOTES],
        "now": time.time(),
    }


async def show_plugins(context: Context, request: Request) -> Response:
    shared = frame(context, request)
    return await render(
        context, request, "plugins.html", partial(_plugins, context, shared["window"]), **shared
    )


def _plugins(context: Context, window: float) -> dict[str, Any]:
    return {**figures_of(context, window), "plugins": context.host.plugins.describe()}


async def show_settings(context: Context, request: Request) -> Response:
    shared = frame(context, request)
    rest = partial(_settings, context, shared["window"])
    return await render(context, request, "settings.html", rest, **shared)


def _settings(context: Context, window: float) -> dict[str, Any]:
    rows, shown = setting_rows(context.host.settings), figures_of(context, window)
    return {
        **shown,
        "chosen": [row for row in rows if row.origin != "default"],
        "defaults": [row for row in rows if row.origin == "default"],
        "rules": shown["snapshot"].cache_rules,
    }


PAGES: dict[str, Handler] = {
    "/alerts": show_alerts,
    "/plugins": show_plugins,
    "/settings": show_settings,
}
