"""The route table: one line a route, the one that took the most time first."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import PAGING, Context, Endpoint, page_of, paging
from perfmw.dashboard.view import route_table


async def list_routes(context: Context, request: Request) -> Response:
    limit, offset = paging(request)
    table = route_table(context.snapshots.get(), limit, offset)
    return page_of(request, table.items, table.total)


ENDPOINTS = (Endpoint("GET", "/routes", "Routes by the total time they took", list_routes, query=PAGING),)
