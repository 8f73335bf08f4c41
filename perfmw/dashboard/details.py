"""Everything about one profile, for its page and for the API. Pure: time is an argument."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from perfmw.contracts import PerformanceProfile
from perfmw.dashboard.charts import Chart, chart
from perfmw.profiles.apdex import apdex
from perfmw.profiles.extras import Extras
from perfmw.profiles.traces import Trace, Traces
from perfmw.profiles.tracked import Tracked
from perfmw.profiles.windows import Slot

WINDOWS: Final = ((60.0, "1 min"), (300.0, "5 min"), (3600.0, "1 h"), (86_400.0, "24 h"))
PARTS: Final = (
    ("queueing", "Queueing before perfmw"),
    ("cache", "The cache: looking up, deciding, storing"),
    ("app", "The app's own code"),
    ("database", "Database"),
    ("integrations", "Other services"),
    ("serialisation", "Serialisation"),
    ("loop_lag", "Waiting for the event loop"),
    ("other", "Waiting for something no span tells of"),
)


@dataclass(frozen=True, slots=True)
class WindowRow:
    """What happened in the last ``seconds``. Seconds and shares; None without requests."""

    seconds: float
    label: str
    count: int
    rate: float
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    error_rate: float | None
    hit_rate: float | None
    apdex: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """A stretch of the course, from ``at`` (unix seconds) on, ``seconds`` long."""

    at: float
    seconds: float
    count: int
    rate: float
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    errors: int
    hit_rate: float | None


@dataclass(frozen=True, slots=True)
class PartRow:
    """A part of where the time goes: mean seconds of a sampled request, and its share of the whole."""

    name: str
    label: str
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class QueryRow:
    """A statement in the kept traces: in how many, how often, how long; ``most``: runs in one request.

    ``repeated`` counts sampled requests that ran it again and again (N+1), all of them, not only kept ones.
    """

    statement: str
    kind: str
    traces: int
    runs: int
    seconds: float
    most: int
    repeated: int


@dataclass(frozen=True, slots=True)
class TraceRow:
    """A kept trace in a line."""

    trace_id: str
    route: str
    at: float
    seconds: float
    status: int
    parts: int


@dataclass(frozen=True, slots=True)
class Details:
    """``sampled``: the requests that stand behind ``breakdown``; ``window``: seconds the course covers."""

    profile: PerformanceProfile
    window: float
    windows: list[WindowRow]
    course: list[Point]
    breakdown: list[PartRow]
    sampled: int
    queries: list[QueryRow]
    slow: list[TraceRow]
    failed: list[TraceRow]


def details(tracked: Tracked, traces: Traces | None, now: float, window: float) -> Details:
    """``traces``: None where nobody keeps any."""
    profile = tracked.profile(now)
    route = profile.name if profile.type == "component" else None
    slow = traces.slow(route) if traces is not None and route is not None else []
    failed = traces.failed(route) if traces is not None and route is not None else []
    extras = tracked.known_extras()
    return Details(
        profile=profile,
        window=window,
        windows=window_rows(tracked, now),
        course=course(tracked, now, window),
        breakdown=breakdown(extras),
        sampled=extras.sampled if extras is not None else 0,
        queries=queries([*slow, *failed], extras),
        slow=[trace_row(one) for one in slow],
        failed=[trace_row(one) for one in failed],
    )


def window_rows(tracked: Tracked, now: float) -> list[WindowRow]:
    """The sliding windows: as much of each as the profile is old."""
    age = max(now - tracked.created_at, 1.0)
    return [_window_row(tracked, seconds, label, now, age) for seconds, label in WINDOWS]


def _window_row(tracked: Tracked, seconds: float, label: str, now: float, age: float) -> WindowRow:
    reading = tracked.window(seconds, now)
    sketch, count = reading.sketch, reading.count
    p50, p95, p99 = sketch.quantiles((0.5, 0.95, 0.99)) if count else (None, None, None)
    return WindowRow(
        seconds=seconds,
        label=label,
        count=count,
        rate=count / min(seconds, age),
        mean=sketch.mean if count else None,
        p50=p50,
        p95=p95,
        p99=p99,
        error_rate=reading.error_rate if count else None,
        hit_rate=reading.hit_rate,
        apdex=apdex(reading, tracked.apdex_t).value if count else None,
    )


def course(tracked: Tracked, now: float, window: float) -> list[Point]:
    """The last ``window`` seconds, slot by slot, oldest first."""
    return [_point(slot, now) for slot in tracked.windows.course(window, now)]


def _point(slot: Slot, now: float) -> Point:
    reading = slot.reading
    sketch, count = reading.sketch, reading.count
    seconds = max(min(slot.end, now) - slot.start, 1e-3)
    p50, p95, p99 = sketch.quantiles((0.5, 0.95, 0.99)) if count else (None, None, None)
    return Point(
        at=slot.start,
        seconds=seconds,
        count=count,
        rate=count / max(seconds, 1.0),
        mean=sketch.mean if count else None,
        p50=p50,
        p95=p95,
        p99=p99,
        errors=reading.errors,
        hit_rate=reading.hit_rate,
    )


def latency_chart(found: Details, now: float) -> Chart:
    """Percentiles over time, with target and baseline (both of the mean)."""
    state = found.profile.performance
    marks = {}
    if state.targets is not None:
        marks["target of the mean"] = state.targets.latency
    if state.baseline is not None:
        marks["baseline of the mean"] = state.baseline.latency
    values = {
        "p50": [point.p50 for point in found.course],
        "p95": [point.p95 for point in found.course],
        "p99": [point.p99 for point in found.course],
    }
    return chart(_middles(found.course), values, (now - found.window, now), marks)


def rate_chart(found: Details, now: float) -> Chart:
    """Requests and failures a second over time."""
    values: dict[str, list[float | None]] = {
        "requests": [point.rate for point in found.course],
        "failures": [point.errors / max(point.seconds, 1.0) for point in found.course],
    }
    return chart(_middles(found.course), values, (now - found.window, now))


def _middles(points: Sequence[Point]) -> list[float]:
    return [point.at + point.seconds / 2 for point in points]


def breakdown(extras: Extras | None) -> list[PartRow]:
    """Where the time of the sampled requests went, what took none left out."""
    if extras is None or not extras.sampled:
        return []
    whole = sum(extras.shares[name] for name, _ in PARTS)
    rows = [
        PartRow(name, label, extras.shares[name] / extras.sampled, extras.shares[name] / whole)
        for name, label in PARTS
        if whole > 0.0 and extras.shares[name] > 0.0
    ]
    return sorted(rows, key=lambda row: -row.seconds)


def queries(traces: Iterable[Trace], extras: Extras | None) -> list[QueryRow]:
    """Statements and calls of the kept traces, and every statement that requests run again and again."""
    rows: dict[tuple[str, str], list[float]] = {}
    for trace in traces:
        runs: Counter[tuple[str, str]] = Counter()
        for part in trace.parts:
            if part.kind in ("query", "integration"):
                key = (str(part.kind), part.name)
                runs[key] += 1
                rows.setdefault(key, [0, 0, 0.0, 0])[2] += part.end - part.start
        for key, count in runs.items():
            row = rows[key]
            row[0], row[1], row[3] = row[0] + 1, row[1] + count, max(row[3], count)
    repeated = extras.repeated if extras is not None else {}
    for statement in repeated:
        rows.setdefault(("query", statement), [0, 0, 0.0, 0])
    found = [_query_row(*key, row, repeated) for key, row in rows.items()]
    return sorted(found, key=lambda one: (-one.repeated, -one.seconds))


def _query_row(
    kind: str, statement: str, row: Sequence[float], repeated: dict[str, tuple[int, int]]
) -> QueryRow:
    requests, most = repeated.get(statement, (0, 0)) if kind == "query" else (0, 0)
    return QueryRow(statement, kind, int(row[0]), int(row[1]), row[2], max(int(row[3]), most), requests)


def trace_row(trace: Trace) -> TraceRow:
    return TraceRow(trace.trace_id, trace.route, trace.at, trace.seconds, trace.status, len(trace.parts))


def trace_parts(trace: Trace) -> list[PartRow]:
    """Where the time of one request went; empty where that was not watched."""
    found = trace.breakdown
    if found is None:
        return []
    whole = found.total + found.queueing or 1.0
    rows = [(name, label, float(getattr(found, name))) for name, label in PARTS]
    return sorted(
        (PartRow(name, label, seconds, seconds / whole) for name, label, seconds in rows if seconds > 0.0),
        key=lambda row: -row.seconds,
    )


# -- the list of profiles -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """A line of the list of profiles. ``verdict`` says in a word how it does, ``why`` what stands behind."""

    id: str
    name: str
    type: str
    count: int
    rate: float
    p50: float
    p95: float
    hit_rate: float | None
    errors: int
    total: float
    score: float | None
    verdict: str
    why: str


SORTS: Final = {
    "total": "Total time",
    "rate": "Rate",
    "p95": "p95",
    "errors": "Errors",
    "score": "Score, worst first",
    "name": "Name",
}


def profile_row(profile: PerformanceProfile) -> ProfileRow:
    latency, throughput = profile.metrics.latency, profile.metrics.throughput
    rates = profile.metrics.error_rates
    verdict, why = judged(profile)
    return ProfileRow(
        id=profile.id,
        name=profile.name,
        type=profile.type,
        count=latency.count,
        rate=throughput.recent_per_second,
        p50=latency.p50,
        p95=latency.p95,
        hit_rate=throughput.hit_rate if profile.type == "component" else None,
        errors=rates.server_errors + rates.exceptions,
        total=latency.mean * latency.count,
        score=profile.performance.current_score,
        verdict=verdict,
        why=why,
    )


SURE: Final = 0.95


def judged(profile: PerformanceProfile) -> tuple[str, str]:
    """How a profile does, in a word, and why."""
    state = profile.performance
    if state.current_score is None:
        return "learning", "It has no baseline yet."
    if state.trend_direction == "degrading" and state.trend_confidence >= SURE:
        return "degrading", f"Slower than before, {state.trend_confidence:.0%} sure."
    worst = min(state.score_parts, key=lambda part: part.score, default=None)
    about = f"{worst.name}: {worst.reason}" if worst is not None and worst.reason else ""
    if state.current_score < 50.0:
        return "poor", about
    if state.trend_direction == "improving" and state.trend_confidence >= SURE:
        return "improving", f"Faster than before, {state.trend_confidence:.0%} sure."
    return ("good", "") if state.current_score >= 80.0 else ("fair", about)


_ORDER: Final[dict[str, Callable[[PerformanceProfile], Any]]] = {
    "total": lambda one: -one.metrics.latency.mean * one.metrics.latency.count,
    "rate": lambda one: -one.metrics.throughput.recent_per_second,
    "p95": lambda one: -one.metrics.latency.p95,
    "errors": lambda one: -(one.metrics.error_rates.server_errors + one.metrics.error_rates.exceptions),
    "score": lambda one: math.inf if (score := one.performance.current_score) is None else score,
    "name": lambda one: one.name,
}


def chosen(
    profiles: Iterable[PerformanceProfile], type: str = "", text: str = "", sort: str = "total"
) -> list[PerformanceProfile]:
    """The profiles of a type whose names contain ``text``, sorted; each a ``profile_row`` when shown."""
    wanted = text.casefold()
    found = [one for one in profiles if (not type or one.type == type) and wanted in one.name.casefold()]
    return sorted(found, key=_ORDER[sort])


@dataclass(frozen=True, slots=True)
class VitalsRow:
    """What browsers told of a route: 75th percentiles in seconds, CLS without a unit; None where untold."""

    id: str
    name: str
    lcp: float | None
    inp: float | None
    cls: float | None
    ttfb: float | None


GOOD_VITALS: Final = {"lcp": (2.5, 4.0), "inp": (0.2, 0.5), "cls": (0.1, 0.25), "ttfb": (0.8, 1.8)}
"""Up to the first a value is good, above the second poor (web.dev/articles/vitals)."""


def vital_word(name: str, value: float) -> str:
    """Good, fair or poor, as web.dev has it."""
    good, poor = GOOD_VITALS[name]
    return "good" if value <= good else "poor" if value > poor else "fair"


def vitals(profiles: Iterable[PerformanceProfile]) -> list[VitalsRow]:
    """The routes of which browsers told something, the slowest to show its content first."""
    rows = []
    for one in profiles:
        told = one.metrics.user_experience.web_vitals
        if told:
            lower = {name.lower(): value for name, value in told.items()}
            rows.append(VitalsRow(one.id, one.name, *(lower.get(name) for name in GOOD_VITALS)))
    return sorted(rows, key=lambda row: -(row.lcp or 0.0))
