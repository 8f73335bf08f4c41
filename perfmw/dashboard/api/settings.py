"""Settings with the origin of each value; secrets are not shown."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import Context, Endpoint, answer


async def list_settings(context: Context, request: Request) -> Response:
    settings = context.host.settings
    items = [
        {"name": name, "value": value, "origin": settings.origin(name)}
        for name, value in settings.to_dict(redact=True).items()
    ]
    return answer(request, {"items": items, "total": len(items)})


ENDPOINTS = (Endpoint("GET", "/settings", "Settings and where each value came from", list_settings),)
