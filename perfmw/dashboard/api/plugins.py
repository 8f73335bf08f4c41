"""Every plugin that was found, those that were left out too."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import PAGING, Context, Endpoint, page


async def list_plugins(context: Context, request: Request) -> Response:
    return page(request, context.host.plugins.describe())


ENDPOINTS = (
    Endpoint("GET", "/plugins", "Plugins, their hooks and what they registered", list_plugins, query=PAGING),
)
