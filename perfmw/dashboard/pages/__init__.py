"""The pages: one file a page, each with its ``PAGES``, path to handler."""

from __future__ import annotations

from starlette.routing import Route

from perfmw.dashboard.context import Context, bind
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
    return [Route(path, bind(context, handler), methods=["GET"]) for path, handler in PAGES.items()]
