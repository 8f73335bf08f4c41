"""The four stat cards, recent alerts, and whether an optimization runs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import Context, Endpoint, answer


async def get_overview(context: Context, request: Request) -> Response:
    snapshot = context.snapshots.get()
    body = {
        "overview": context.host.overview(),
        "window_seconds": snapshot.window_seconds,
        "cache_status": snapshot.cache_status,
        "alerts": context.host.alerts,
        "optimization": context.host.optimization_state(),
    }
    return answer(request, body)


ENDPOINTS = (Endpoint("GET", "/overview", "Stat cards with their trends and series", get_overview),)
