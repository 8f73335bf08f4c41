"""What a page and an API resource both look up for the query they were asked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from perfmw.contracts import RuntimeSnapshot
from perfmw.dashboard.details import WINDOWS, Details, details
from perfmw.dashboard.host import Host
from perfmw.dashboard.problems import ProblemError
from perfmw.profiles.management import Comparison
from perfmw.profiles.traces import Trace, Traces


def window_of(request: Request, default: float = 300.0) -> float:
    """The window in seconds that was asked for. Raises ProblemError 422."""
    text = request.query_params.get("window", "")
    if not text:
        return default
    known = {f"{seconds:.0f}": seconds for seconds, _ in WINDOWS}
    if text not in known:
        raise ProblemError(422, f"window must be one of {', '.join(known)} (seconds).")
    return known[text]


def traces_of(host: Host) -> Traces | None:
    """The kept traces of this worker, if it keeps any."""
    tracing = host.tracing
    return tracing.traces if tracing is not None else None


def details_of(host: Host, profile_id: str, window: float) -> Details:
    """Raises ProblemError 404."""
    tracked = host.profiles.tracked(profile_id)
    if tracked is None:
        raise ProblemError(404, f"No profile has the id {profile_id!r}.")
    return details(tracked, traces_of(host), time.time(), window)


def trace_of(host: Host, trace_id: str) -> Trace:
    """Raises ProblemError 404."""
    traces = traces_of(host)
    trace = traces.find(trace_id) if traces is not None else None
    if trace is None:
        raise ProblemError(404, f"No trace {trace_id!r} is kept, or another worker keeps it.")
    return trace


def limits_of(snapshot: RuntimeSnapshot) -> Mapping[str, Any]:
    """Concurrency limits and quotas of this worker."""
    return {"mode": "off", "groups": [], "quotas": [], **snapshot.limits}


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
