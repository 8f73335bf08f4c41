"""Cache layers as they run, and how often each Cache-Status outcome was given."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import PAGING, Context, Endpoint, page
from perfmw.dashboard.view import reasons


async def list_layers(context: Context, request: Request) -> Response:
    snapshot = context.snapshots.get()
    status = snapshot.cache_status
    return page(request, snapshot.layers, cache_status=status, reasons=reasons(status))


ENDPOINTS = (
    Endpoint("GET", "/layers", "Cache layers, and why requests missed them", list_layers, query=PAGING),
)
