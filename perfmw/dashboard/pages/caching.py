"""The cache: its layers, why requests were not answered from it, and what it makes of a URL."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts import CacheUse, RuntimeSnapshot
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.pages.shell import common
from perfmw.dashboard.render import render
from perfmw.dashboard.view import reasons

ROWS = 50


def uses(snapshot: RuntimeSnapshot) -> list[CacheUse]:
    """What the cache did for each route, function and namespace, the most time saved first."""
    found = snapshot.caching()
    if found is None:
        return []
    everything = [*found.routes, *found.functions, *found.namespaces]
    asked = [one for one in everything if one.hits or one.misses]
    return sorted(asked, key=lambda one: -(one.seconds_saved or 0.0))[:ROWS]


async def show(context: Context, request: Request) -> Response:
    snapshot = context.snapshots.get(0.5)
    return render(
        context,
        request,
        "caching.html",
        **common(context, "caching", snapshot),
        layers=snapshot.layers,
        uses=uses(snapshot),
        rules=snapshot.cache_rules,
        reasons=reasons(snapshot.cache_status),
        requests=sum(snapshot.cache_status.values()),
        hits=snapshot.cache_status.get("hit", 0),
    )


PAGES: dict[str, Handler] = {"/caching": show}
