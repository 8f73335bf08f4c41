"""All hosts that share a layer, added up."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.asked import fleet_of_host
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.pages.shell import figures_of, frame
from perfmw.dashboard.problems import ProblemError
from perfmw.dashboard.render import render
from perfmw.dashboard.view import reasons


async def show(context: Context, request: Request) -> Response:
    view = await fleet_of_host(context.host)
    if view is None:
        raise ProblemError(501, "Nobody counts here.")
    shared = frame(context, request)
    return await render(
        context,
        request,
        "fleet.html",
        **shared,
        **figures_of(context, shared["window"]),
        fleet=view,
        reasons=reasons(view.cache_status),
        requests=sum(view.cache_status.values()),
        interval=context.host.settings.fleet_interval,
    )


PAGES: dict[str, Handler] = {"/fleet": show}
