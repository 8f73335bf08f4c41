"""Resource pools: their newest samples."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import PAGING, Context, Endpoint, page
from perfmw.dashboard.asked import pools_of


async def list_pools(context: Context, request: Request) -> Response:
    return page(request, pools_of(context.snapshots.get()))


ENDPOINTS = (
    Endpoint("GET", "/pools", "Resource pools of all workers of the host", list_pools, query=PAGING),
)
