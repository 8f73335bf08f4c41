"""What a page and an API resource both look up for the query they were asked."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request

from perfmw.contracts import PoolSample, RuntimeSnapshot
from perfmw.dashboard.details import WINDOWS, Details, VitalsRow, details
from perfmw.dashboard.host import Host
from perfmw.dashboard.problems import ProblemError
from perfmw.dashboard.site import Event, Site, events_from, site_of
from perfmw.monitoring.history import Means
from perfmw.monitoring.scoring import Explained
from perfmw.profiles.management import Comparison
from perfmw.profiles.traces import Trace, Traces
from perfmw.runtime.fleetview import FleetView, fleet_view

DEFAULT_WINDOW: Final = 300.0


def window_of(request: Request, default: float = DEFAULT_WINDOW) -> float:
    """The window in seconds that was asked for. Raises ProblemError 422."""
    text = request.query_params.get("window", "")
    if not text:
        return default
    known = {f"{seconds:.0f}": seconds for seconds, _ in WINDOWS}
    if text not in known:
        raise ProblemError(422, f"window must be one of {', '.join(known)} (seconds).")
    return known[text]


def reach_of(host: Any, now: float, window: float) -> float:
    """The part of ``window`` that a young process has lived, rounded up to a range there is."""
    profiles = getattr(host, "profiles", None)
    age = now - profiles.started_at if profiles is not None else window
    return min(window, next((seconds for seconds, _ in WINDOWS if age <= seconds), window))


def site_of_host(host: Host, now: float, window: float) -> Site | None:
    """All routes together; None where nobody counts."""
    profiles = getattr(host, "profiles", None)
    return site_of(profiles.whole, now, window) if profiles is not None else None


def events_of_host(host: Any, now: float, window: float) -> list[Event]:
    """What was done and noticed in the last ``window`` seconds, the newest first."""
    rounds = getattr(host, "rounds", None)
    return events_from(rounds.watching, now - window) if rounds is not None else []


def history_of_host(host: Any, now: float, window: float) -> list[Means]:
    """How busy the pools of all workers of the host were."""
    rounds = getattr(host, "rounds", None)
    return rounds.history.course(window, now) if rounds is not None else []


def score_of_host(host: Any) -> Explained | None:
    """Why the score of all routes is what it is, as of some seconds ago; None while there is none."""
    rounds = getattr(host, "rounds", None)
    return rounds.score if rounds is not None else None


async def fleet_of_host(host: Any) -> FleetView | None:
    """What all hosts counted, as of two seconds ago; this one alone where no layer is shared."""
    rounds = getattr(host, "rounds", None)
    if rounds is None:
        return None
    return fleet_view(*await rounds.fleet.recent(), shared=rounds.fleet.layer is not None)


def shares_a_layer(host: Any) -> bool:
    """Whether other hosts can be seen from here."""
    rounds = getattr(host, "rounds", None)
    return rounds is not None and rounds.fleet.layer is not None


def vital_reports(host: Host, rows: Iterable[VitalsRow]) -> dict[str, int]:
    """Profile id -> how many browsers told of it."""
    found = {}
    for row in rows:
        tracked = host.profiles.tracked(row.id)
        extras = tracked.known_extras() if tracked is not None else None
        if extras is not None:
            found[row.id] = max((sketch.count for sketch in extras.vitals.values()), default=0)
    return found


def traces_of(host: Host) -> Traces | None:
    """The kept traces of this host, if this worker keeps any."""
    tracing = host.tracing
    return tracing.traces if tracing is not None else None


async def meet(host: Any) -> None:
    """Tell the other workers of the host what was made here, and hear what they made."""
    sharing = getattr(host, "sharing", None)
    if sharing is not None:
        await sharing.exchange()


async def details_of(host: Host, profile_id: str, window: float) -> Details:
    """Also of a profile that another worker made a moment ago. Raises ProblemError 404."""
    tracked = host.profiles.tracked(profile_id)
    if tracked is None:
        await meet(host)
        tracked = host.profiles.tracked(profile_id)
    if tracked is None:
        raise ProblemError(404, f"No profile has the id {profile_id!r}.")
    return details(tracked, traces_of(host), time.time(), window)


def trace_of(host: Host, trace_id: str) -> Trace:
    """Raises ProblemError 404."""
    traces = traces_of(host)
    trace = traces.find(trace_id) if traces is not None else None
    if trace is None:
        raise ProblemError(404, f"No trace {trace_id!r} is kept, or its worker has yet to tell of it.")
    return trace


def limits_of(snapshot: RuntimeSnapshot) -> Mapping[str, Any]:
    """Concurrency limits and quotas of all workers of the host."""
    return {"mode": "off", "groups": [], "quotas": [], **(snapshot.host_limits or snapshot.limits)}


def pools_of(snapshot: RuntimeSnapshot) -> Sequence[PoolSample]:
    """The pools of all workers of the host."""
    return snapshot.host_pools or snapshot.pools


def forecast_of(snapshot: RuntimeSnapshot) -> Mapping[str, Any]:
    """The request rate, what is expected of it and the advice; rate None where nothing is known yet."""
    unknown = {"rate": None, "horizon": 3600.0, "expected": None, "interval": None, "advice": None}
    return {**unknown, **snapshot.forecast}


def compared(host: Host, first: str, second: str, window: float) -> Comparison:
    """Two profiles by id or name, or without a second two periods of one. Raises ProblemError 404."""
    one = _chosen(host, first)
    if not second:
        return host.profile_manager.compare_periods(one, window)
    return host.profile_manager.compare(one, _chosen(host, second), window)


def _chosen(host: Host, text: str) -> str:
    """A profile's id, given it or the profile's name."""
    if host.profiles.tracked(text) is not None:
        return text
    for tracked in host.profiles.everything():
        if tracked.recorder.name == text:
            return tracked.id
    raise ProblemError(404, f"No profile has the id or name {text!r}.")
