"""What plugins show."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import PAGING, Context, Endpoint, answer, page
from perfmw.dashboard.panels import panel_view
from perfmw.dashboard.problems import ProblemError


async def list_panels(context: Context, request: Request) -> Response:
    items = [{"id": one.id, "title": one.title, "page": one.page} for one in context.host.panels]
    return page(request, items)


async def get_panel(context: Context, request: Request) -> Response:
    wanted = request.path_params["id"]
    for panel in context.host.panels:
        if panel.id == wanted:
            return answer(request, panel_view(panel))
    raise ProblemError(404, f"No panel has the id {wanted!r}.")


ENDPOINTS = (
    Endpoint("GET", "/panels", "Panels of plugins", list_panels, query=PAGING),
    Endpoint("GET", "/panels/{id}", "What a panel shows", get_panel),
)
