"""Cache rules in force, those an optimization added among them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import PAGING, Context, Endpoint, page


async def list_rules(context: Context, request: Request) -> Response:
    return page(request, context.snapshots.get().cache_rules)


ENDPOINTS = (Endpoint("GET", "/rules", "Cache rules in force", list_rules, query=PAGING),)
