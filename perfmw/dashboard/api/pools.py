"""Resource pools: their newest samples."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import PAGING, Context, Endpoint, page


async def list_pools(context: Context, request: Request) -> Response:
    return page(request, context.snapshots.get().pools)


ENDPOINTS = (Endpoint("GET", "/pools", "Resource pools", list_pools, query=PAGING),)
