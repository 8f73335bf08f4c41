"""The JSON API, ``api/v1``: one file a resource, each with its ``ENDPOINTS``."""

from __future__ import annotations

from collections.abc import Mapping

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
from perfmw.dashboard.context import Handler, bind

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
    """One for each path, so that a refusal of a method tells all that there are (RFC 9110, 15.5.6)."""
    paths: dict[str, dict[str, Handler]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method] = endpoint.handler
    return [
        Route(PREFIX + path, bind(context, _by_method(handlers)), methods=list(handlers))
        for path, handlers in paths.items()
    ]


def _by_method(handlers: Mapping[str, Handler]) -> Handler:
    async def handle(context: Context, request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](context, request)

    return handle
