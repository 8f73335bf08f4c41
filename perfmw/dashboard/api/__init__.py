"""The JSON API, ``api/v1``: one file a resource, each with its ``ENDPOINTS``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perfmw.dashboard.api import (
    alerts,
    cache,
    events,
    explain,
    fleet,
    layers,
    ledger,
    limits,
    managers,
    optimization,
    overview,
    panels,
    plugins,
    pools,
    profiles,
    report,
    routes,
    rules,
    settings,
    site,
    traces,
)
from perfmw.dashboard.api.endpoint import Context, Endpoint, answer
from perfmw.dashboard.api.openapi import document
from perfmw.dashboard.context import bind

PREFIX = "/api/v1"


async def get_openapi(context: Context, request: Request) -> Response:
    return answer(request, document(ENDPOINTS, f"{request.scope.get('root_path', '')}{PREFIX}"))


ENDPOINTS: tuple[Endpoint, ...] = (
    *overview.ENDPOINTS,
    *site.ENDPOINTS,
    *alerts.ENDPOINTS,
    *traces.ENDPOINTS,
    *profiles.ENDPOINTS,
    *routes.ENDPOINTS,
    *fleet.ENDPOINTS,
    *layers.ENDPOINTS,
    *cache.ENDPOINTS,
    *explain.ENDPOINTS,
    *pools.ENDPOINTS,
    *limits.ENDPOINTS,
    *managers.ENDPOINTS,
    *ledger.ENDPOINTS,
    *optimization.ENDPOINTS,
    *rules.ENDPOINTS,
    *plugins.ENDPOINTS,
    *panels.ENDPOINTS,
    *settings.ENDPOINTS,
    *report.ENDPOINTS,
    *events.ENDPOINTS,
    Endpoint("GET", "/openapi.json", "This description", get_openapi),
)


def api_routes(context: Context) -> list[Route]:
    return [
        Route(PREFIX + endpoint.path, bind(context, endpoint.handler), methods=[endpoint.method])
        for endpoint in ENDPOINTS
    ]
