"""The cache: its layers, why requests were not answered from it, and what it makes of a URL."""

from __future__ import annotations

from functools import partial
from heapq import nlargest
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts import CacheStatistics, CacheUse
from perfmw.dashboard.asked import site_of_host
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.host import RECENT
from perfmw.dashboard.pages.shell import figures_of, frame
from perfmw.dashboard.render import render
from perfmw.dashboard.site import cache_charts
from perfmw.dashboard.view import reasons
from perfmw.dashboard.whatif import LEAST, curve_chart

ROWS = 50


def uses(found: CacheStatistics | None) -> list[CacheUse]:
    """What the cache did for each route, function and namespace, the most time saved first."""
    if found is None:
        return []
    everything = [*found.routes, *found.functions, *found.namespaces]
    asked = [one for one in everything if one.hits or one.misses]
    return nlargest(ROWS, asked, key=lambda one: one.seconds_saved or 0.0)


def _learned(context: Context) -> dict[str, Any]:
    """What was learned, in words, and the last rehearsal of what might be."""
    rehearsals = context.rehearsals
    found, trail, learning = rehearsals.last, rehearsals.trail, rehearsals.learning
    return {
        "learned": learning.told() if learning is not None else {},
        "remembered": len(trail.reads) if trail is not None else None,
        "what_if": found,
        "curve": curve_chart(found) if found is not None else None,
        "least": LEAST,
    }


def _stampedes(found: CacheStatistics | None) -> CacheStatistics | None:
    """What the caches did, if a caller ever waited for another's answer."""
    return found if found is not None and (found.coalesced or found.timeouts) else None


async def show(context: Context, request: Request) -> Response:
    shared = frame(context, request, "caching", ranged=True)
    return await render(
        context, request, "caching.html", partial(_figures, context, shared["window"]), **shared
    )


def _figures(context: Context, window: float) -> dict[str, Any]:
    shown = figures_of(context, window, RECENT)
    snapshot = shown["snapshot"]
    done = snapshot.caching()
    site = site_of_host(context.host, snapshot.taken_at, shown["reach"])
    return {
        **shown,
        "site": site,
        "charts": cache_charts(site, snapshot.taken_at) if site is not None else {},
        "layers": snapshot.layers,
        "uses": uses(done),
        "rules": snapshot.cache_rules,
        "reasons": reasons(snapshot.cache_status),
        "requests": sum(snapshot.cache_status.values()),
        "hits": snapshot.cache_status.get("hit", 0),
        **_learned(context),
        "far": [layer for layer in snapshot.layers if layer.kind != "memory"],
        "stampedes": _stampedes(done),
    }


PAGES: dict[str, Handler] = {"/caching": show}
