"""What is limited and refused, and how many workers the forecast asks for."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import Context, Endpoint, answer
from perfmw.dashboard.asked import limits_of


async def get_limits(context: Context, request: Request) -> Response:
    return answer(request, limits_of(context.snapshots.get()))


async def get_forecast(context: Context, request: Request) -> Response:
    return answer(request, context.snapshots.get().forecast)


ENDPOINTS = (
    Endpoint("GET", "/limits", "Limits of concurrency and quotas of all workers of the host", get_limits),
    Endpoint("GET", "/forecast", "The request rate, its forecast, and the workers it takes", get_forecast),
)
