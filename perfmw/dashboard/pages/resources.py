"""What the app runs on: pools, the workers and their event loops, and who held them up."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts import RuntimeSnapshot
from perfmw.dashboard.asked import forecast_of, limits_of
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.pages.shell import common
from perfmw.dashboard.render import render
from perfmw.dashboard.view import SlowRow
from perfmw.resources.efficiency import efficiency

SLOW_ROWS = 30


async def show(context: Context, request: Request) -> Response:
    snapshot = context.snapshots.get(0.5)
    return render(
        context,
        request,
        "resources.html",
        **common(context, "resources", snapshot),
        pools=snapshot.pools,
        efficiency=efficiency(snapshot.pools),
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


def waste(snapshot: RuntimeSnapshot) -> list[tuple[str, float]]:
    """Pools of which more than a tenth is idle: name and idle share, the idlest first."""
    idle = [(one.name, 1.0 - one.utilization) for one in snapshot.pools if one.utilization is not None]
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
