"""The profiles: a list of them, a page for each, a page for a request, and two side by side."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.profiles import TYPES
from perfmw.dashboard.asked import compared, details_of, trace_of, traces_of, vital_reports, window_of
from perfmw.dashboard.charts import WIDTH, flame_graph, spark_of, waterfall
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.details import (
    SORTS,
    chosen,
    latency_chart,
    profile_row,
    rate_chart,
    trace_parts,
    vitals,
)
from perfmw.dashboard.host import RECENT
from perfmw.dashboard.pages.shell import figures_of, frame
from perfmw.dashboard.problems import ProblemError
from perfmw.dashboard.render import render
from perfmw.profiles.tracked import profile_id

ROWS = 15


async def show_list(context: Context, request: Request) -> Response:
    query = request.query_params
    kind, text, sort = query.get("type", ""), query.get("q", ""), query.get("sort", "total")
    if kind not in ("", *TYPES) or sort not in SORTS:
        raise ProblemError(422, f"type is one of {', '.join(TYPES)}, sort one of {', '.join(SORTS)}.")
    asked = {"type": kind, "q": text, "sort": sort, "page": _page(query.get("page", "0"))}
    shared = frame(context, request, "profiles")
    rest = partial(_list, context, shared["window"], asked)
    return await render(
        context, request, "profiles.html", rest, asked=asked, types=TYPES, sorts=SORTS, **shared
    )


def _list(context: Context, window: float, asked: Mapping[str, Any]) -> dict[str, Any]:
    shown = figures_of(context, window, RECENT)
    profiles = shown["snapshot"].profiles
    found = chosen(profiles, asked["type"], asked["q"], asked["sort"])
    rows = [profile_row(one) for one in found[asked["page"] * ROWS :][:ROWS]]
    return {
        **shown,
        "rows": [(row, _spark(context, row.id)) for row in rows],
        "total": len(found),
        "everything": len(profiles),
        "pages": (len(found) + ROWS - 1) // ROWS,
        "vitals": (told := vitals(profiles)),
        "reports": vital_reports(context.host, told),
        "names": [profile.name for profile in profiles][:200],
    }


def _page(text: str) -> int:
    return int(text[:6]) if text.isascii() and text.isdigit() else 0


def _spark(context: Context, id: str) -> str:
    """The course of the mean in the last minute."""
    tracked = context.host.profiles.tracked(id)
    return spark_of([slot.mean for slot in tracked.windows.slots()]) if tracked is not None else ""


async def show_profile(context: Context, request: Request) -> Response:
    wanted, window = request.query_params.get("id", ""), window_of(request)
    found, now = await details_of(context.host, wanted, window), time.time()
    traces = traces_of(context.host)
    watched = next((one for one in found.slow if one.parts), found.slow[0] if found.slow else None)
    slowest = traces.find(watched.trace_id) if traces is not None and watched is not None else None
    session = context.flames.get(wanted)
    return await render(
        context,
        request,
        "profile.html",
        **frame(context, request, "profiles", ranged=True),
        **figures_of(context, window),
        found=found,
        profile=found.profile,
        latency=latency_chart(found, now),
        rates=rate_chart(found, now),
        slowest=slowest,
        bars=waterfall(slowest.parts, slowest.at, slowest.seconds) if slowest is not None else [],
        traced=traces is not None,
        session=session,
        graph=flame_graph(session.flame) if session is not None and session.flame is not None else None,
        width=WIDTH,
        now=now,
    )


async def show_trace(context: Context, request: Request) -> Response:
    trace = trace_of(context.host, request.query_params.get("id", ""))
    return await render(
        context,
        request,
        "trace.html",
        **(shared := frame(context, request, "profiles")),
        **figures_of(context, shared["window"]),
        trace=trace,
        profile=profile_id("component", trace.route),
        bars=waterfall(trace.parts, trace.at, trace.seconds),
        parts=trace_parts(trace),
        repeated=trace.breakdown.repeated if trace.breakdown is not None else (),
    )


async def show_comparison(context: Context, request: Request) -> Response:
    window = window_of(request)
    asked = {name: request.query_params.get(name, "") for name in ("first", "second")}
    profiles = context.snapshots.get(1.0).profiles
    found = compared(context.host, asked["first"], asked["second"], window) if asked["first"] else None
    known = {one.id: one.name for one in profiles}
    named = {side: known.get(text, text) for side, text in asked.items()}
    return await render(
        context,
        request,
        "compare.html",
        **frame(context, request, "profiles", ranged=found is not None),
        **figures_of(context, window),
        found=found,
        asked=asked,
        named=named,
        title=(named["first"], named["second"]) if asked["second"] else ("Before", "Now"),
        names=[profile.name for profile in profiles][:200],
    )


PAGES: dict[str, Handler] = {
    "/profiles": show_list,
    "/profile": show_profile,
    "/trace": show_trace,
    "/compare": show_comparison,
}
