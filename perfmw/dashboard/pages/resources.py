"""What the app runs on: pools, the workers and their event loops, and who held them up."""

from __future__ import annotations

from functools import partial
from heapq import nlargest
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts import PerformanceProfile, RuntimeSnapshot
from perfmw.contracts.resources import ResourceManager
from perfmw.dashboard.api.managers import SCOPES
from perfmw.dashboard.asked import forecast_of, history_of_host, limits_of, pools_of
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.details import Details, details, latency_chart
from perfmw.dashboard.host import RECENT, Host
from perfmw.dashboard.pages.shell import figures_of, frame
from perfmw.dashboard.render import render
from perfmw.dashboard.site import pool_chart, pool_names
from perfmw.dashboard.view import SlowRow
from perfmw.profiles.tracked import profile_id
from perfmw.resources.efficiency import efficiency

SLOW_ROWS = 30


async def show(context: Context, request: Request) -> Response:
    shared = frame(context, request, "resources", ranged=True)
    rest = partial(_figures, context, shared["window"])
    return await render(context, request, "resources.html", rest, scopes=SCOPES, **shared)


def _figures(context: Context, window: float) -> dict[str, Any]:
    host, shown = context.host, figures_of(context, window, RECENT)
    snapshot: RuntimeSnapshot = shown["snapshot"]
    now, reach = snapshot.taken_at, shown["reach"]
    moments = history_of_host(host, now, reach)
    lag = loop_lag(host, now, reach)
    return {
        **shown,
        "moments": moments,
        "busy": pool_chart(moments, reach, now),
        "busiest": pool_names(moments),
        "lag": lag,
        "lags": latency_chart(lag, now) if lag is not None else None,
        "pools": pools_of(snapshot),
        "managers": managers_of(host),
        "allocations": context.allocations(),
        "efficiency": efficiency(pools_of(snapshot)),
        "processes": snapshot.processes,
        "limits": limits_of(snapshot),
        "forecast": forecast_of(snapshot),
        "waste": waste(snapshot),
        "slow": slow_callbacks(snapshot),
        "using": using(snapshot),
    }


def using(snapshot: RuntimeSnapshot) -> list[PerformanceProfile]:
    """The routes whose processor time is known, those that took the most first."""
    known = (one for one in snapshot.profiles if one.type == "component" and _sampled(one))
    return nlargest(SLOW_ROWS, known, key=lambda one: one.metrics.resource_usage.cpu_seconds or 0.0)


def managers_of(host: Host) -> list[ResourceManager]:
    """Those that all workers share; none where nothing is sampled."""
    rounds = getattr(host, "rounds", None)
    return rounds.resources.managers() if rounds is not None else []


def loop_lag(host: Host, now: float, window: float) -> Details | None:
    """How late the event loop came; None where nobody watches it."""
    profiles = getattr(host, "profiles", None)
    tracked = profiles.tracked(profile_id("system", "process")) if profiles is not None else None
    return details(tracked, None, now, window) if tracked is not None else None


def waste(snapshot: RuntimeSnapshot) -> list[tuple[str, float]]:
    """Pools of which more than a tenth is idle: name and idle share, the idlest first."""
    idle = [(one.name, 1.0 - one.utilization) for one in pools_of(snapshot) if one.utilization is not None]
    return sorted((row for row in idle if row[1] > 0.1), key=lambda row: -row[1])


def _sampled(profile: object) -> bool:
    return bool(profile.metrics.resource_usage.sampled)  # type: ignore[attr-defined]


def slow_callbacks(snapshot: RuntimeSnapshot) -> list[SlowRow]:
    """The last callbacks that held up an event loop, of all workers, the newest first."""
    rows = [
        SlowRow(process.pid, one["at"], one["seconds"], one["function"], tuple(one.get("stack", ())))
        for process in snapshot.processes
        for one in process.slow_callbacks
    ]
    return sorted(rows, key=lambda row: -row.at)[:SLOW_ROWS]


PAGES: dict[str, Handler] = {"/resources": show}
