"""The pages: one file a page, each with its ``PAGES``, path to handler."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perfmw.dashboard.context import Context, Handler, bind
from perfmw.dashboard.pages import (
    caching,
    fleet,
    operating,
    optimization,
    overview,
    panels,
    profiles,
    report,
    resources,
)

PAGES = {
    **overview.PAGES,
    **profiles.PAGES,
    **caching.PAGES,
    **resources.PAGES,
    **optimization.PAGES,
    **fleet.PAGES,
    **operating.PAGES,
    **panels.PAGES,
    **report.PAGES,
}


def page_routes(context: Context) -> list[Route]:
    return [Route(path, bind(context, _shared(handler)), methods=["GET"]) for path, handler in PAGES.items()]


def _shared(handler: Handler) -> Handler:
    """The page, where many keep it up to date made once for them all."""

    async def answer(context: Context, request: Request) -> Response:
        return await context.refreshes.answer(request, partial(handler, context, request))

    return answer
