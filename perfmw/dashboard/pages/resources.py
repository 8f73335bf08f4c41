"""What the app runs on: pools, the workers and their event loops, and who held them up."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts import RuntimeSnapshot
from perfmw.contracts.resources import ResourceManager
from perfmw.dashboard.api.managers import SCOPES
from perfmw.dashboard.asked import forecast_of, history_of_host, limits_of, pools_of
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.details import Details, details, latency_chart
from perfmw.dashboard.host import Host
from perfmw.dashboard.pages.shell import common
from perfmw.dashboard.render import render
from perfmw.dashboard.site import pool_chart, pool_names
from perfmw.dashboard.view import SlowRow
from perfmw.profiles.tracked import profile_id
from perfmw.resources.efficiency import efficiency

SLOW_ROWS = 30


async def show(context: Context, request: Request) -> Response:
    snapshot, host = context.snapshots.get(0.5), context.host
    shared = common(context, request, "resources", snapshot, ranged=True)
    now, reach = snapshot.taken_at, shared["reach"]
    moments = history_of_host(host, now, reach)
    lag = loop_lag(host, now, reach)
    return await render(
        context,
        request,
        "resources.html",
        **shared,
        moments=moments,
        busy=pool_chart(moments, reach, now),
        busiest=pool_names(moments),
        lag=lag,
        lags=latency_chart(lag, now) if lag is not None else None,
        pools=pools_of(snapshot),
        managers=managers_of(host),
        allocations=context.allocations(),
        scopes=SCOPES,
        efficiency=efficiency(pools_of(snapshot)),
        processes=snapshot.processes,
        limits=limits_of(snapshot),
        forecast=forecast_of(snapshot),
        waste=waste(snapshot),
        slow=slow_callbacks(snapshot),
        using=sorted(
            (one for one in snapshot.profiles if one.type == "component" and _sampled(one)),
            key=lambda one: -(one.metrics.resource_usage.cpu_seconds or 0.0),
        )[:SLOW_ROWS],
    )


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
