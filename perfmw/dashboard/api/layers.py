"""Cache layers as they run, and how often each Cache-Status outcome was given."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import Context, Endpoint, answer
from perfmw.dashboard.host import RECENT
from perfmw.dashboard.view import reasons


async def list_layers(context: Context, request: Request) -> Response:
    snapshot = context.snapshots.get(RECENT)
    body = {
        "items": snapshot.layers,
        "total": len(snapshot.layers),
        "cache_status": snapshot.cache_status,
        "reasons": reasons(snapshot.cache_status),
    }
    return answer(request, body)


ENDPOINTS = (Endpoint("GET", "/layers", "Cache layers, and why requests missed them", list_layers),)
