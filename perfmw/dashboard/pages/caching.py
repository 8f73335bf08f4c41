"""The cache: its layers, why requests were not answered from it, and what it makes of a URL."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.pages.shell import common
from perfmw.dashboard.render import render
from perfmw.dashboard.view import reasons


async def show(context: Context, request: Request) -> Response:
    snapshot = context.snapshots.get(0.5)
    return render(
        context,
        request,
        "caching.html",
        **common(context, "caching", snapshot),
        layers=snapshot.layers,
        rules=snapshot.cache_rules,
        reasons=reasons(snapshot.cache_status),
        requests=sum(snapshot.cache_status.values()),
        hits=snapshot.cache_status.get("hit", 0),
    )


PAGES: dict[str, Handler] = {"/caching": show}
