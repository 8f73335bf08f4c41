"""What plugins show: panels on the overview, and pages of their own."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.pages.shell import figures_of, frame
from perfmw.dashboard.panels import PanelView, panel_view
from perfmw.dashboard.problems import ProblemError
from perfmw.dashboard.render import render


def panels_of(context: Context, page: str = "") -> list[PanelView]:
    """The panels of a page by its title; those of the overview without one."""
    return [panel_view(panel) for panel in context.host.panels if panel.page == page]


async def show(context: Context, request: Request) -> Response:
    title = request.query_params.get("title", "")
    panels = panels_of(context, title) if title else []
    if not panels:
        raise ProblemError(404, f"No plugin has a page {title!r}.")
    shared = frame(context, request)
    shown = figures_of(context, shared["window"])
    return await render(context, request, "panels.html", **shared, **shown, title=title, panels=panels)


PAGES: dict[str, Handler] = {"/page": show}
