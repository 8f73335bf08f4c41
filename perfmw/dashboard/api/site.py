"""All routes together over time, what was done meanwhile, why the score is what it is, what perfmw takes."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import PAGING, WINDOW, Context, Endpoint, answer, page
from perfmw.dashboard.asked import (
    events_of_host,
    history_of_host,
    score_of_host,
    site_of_host,
    window_of,
)
from perfmw.dashboard.problems import ProblemError
from perfmw.runtime.owncost import cost_of


async def get_course(context: Context, request: Request) -> Response:
    window, now = window_of(request), time.time()
    site = site_of_host(context.host, now, window)
    if site is None:
        raise ProblemError(501, "Nobody counts here.")
    return answer(request, {"window": window, "served": site.served, "items": site.points})


async def get_pools(context: Context, request: Request) -> Response:
    window, now = window_of(request), time.time()
    return answer(request, {"window": window, "items": history_of_host(context.host, now, window)})


async def list_timeline(context: Context, request: Request) -> Response:
    return page(request, events_of_host(context.host, time.time(), window_of(request)))


async def get_score(context: Context, request: Request) -> Response:
    return answer(request, score_of_host(context.host))


async def get_cost(context: Context, request: Request) -> Response:
    site = site_of_host(context.host, time.time(), window_of(request))
    if site is None:
        raise ProblemError(501, "Nobody counts here.")
    return answer(request, cost_of(context.host, site.whole))


_RANGE: dict[str, Any] = dict(WINDOW)
ENDPOINTS = (
    Endpoint("GET", "/course", "All routes together over time, hits apart from misses", get_course, _RANGE),
    Endpoint("GET", "/pools/history", "How busy each pool of the host was over time", get_pools, _RANGE),
    Endpoint(
        "GET", "/timeline", "Alerts and what was done, the newest first", list_timeline, {**PAGING, **_RANGE}
    ),
    Endpoint("GET", "/score", "What takes points off the score, by part and by route", get_score),
    Endpoint("GET", "/cost", "What perfmw itself takes", get_cost, _RANGE),
)
