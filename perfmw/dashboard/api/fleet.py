"""What all hosts that share a layer counted together."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import Context, Endpoint, answer
from perfmw.dashboard.asked import fleet_of_host
from perfmw.dashboard.problems import ProblemError


async def get_fleet(context: Context, request: Request) -> Response:
    view = await fleet_of_host(context.host)
    if view is None:
        raise ProblemError(501, "Nobody counts here.")
    return answer(request, view)


ENDPOINTS = (
    Endpoint(
        "GET", "/fleet", "What all hosts that share a layer counted, and whose numbers it is", get_fleet
    ),
)
