"""All routes together over the time range that was asked for, and what was done meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from perfmw.contracts import Alert
from perfmw.dashboard.charts import HEIGHT, WIDTH, Chart, Line, chart
from perfmw.monitoring.history import Means
from perfmw.monitoring.timeline import Annotation
from perfmw.profiles.reading import Reading
from perfmw.profiles.windows import Slot, Windows

Course = Sequence[float | None]
MOST_POOLS: Final = 5
"""Lines of a chart, beyond which nobody tells them apart."""
MOST_EVENTS: Final = 60


@dataclass(frozen=True, slots=True)
class SitePoint:
    """All routes from ``at`` (unix seconds) for ``seconds``; times in seconds, None where nobody asked.

    ``hits_p95`` is of answers from the cache, ``misses_p95`` of those that reached the app.
    """

    at: float
    seconds: float
    count: int
    hits: int
    errors: int
    p50: float | None
    p95: float | None
    p99: float | None
    hits_p95: float | None
    misses_p95: float | None


@dataclass(frozen=True, slots=True)
class Served:
    """What came from the cache, told in three ways; shares 0..1, None where nothing is known.

    ``bytes``: of the bodies that the cache sent or took in, the share it sent; ``time``: of the time that
    answers took or would have taken, the share that the cache saved. ``saved`` in seconds.
    """

    requests: int
    share: float | None
    bytes: float | None
    sent: int
    time: float | None
    saved: float


@dataclass(frozen=True, slots=True)
class Site:
    """``window``: seconds that were asked for; ``whole``: everything that was counted in them."""

    window: float
    points: list[SitePoint]
    whole: Reading
    served: Served


def site_of(windows: Windows, now: float, window: float) -> Site:
    """The last ``window`` seconds of all routes, slot by slot, and added up."""
    slots = windows.course(window, now)
    whole = Reading()
    points = []
    for slot in slots:
        reading = slot.reading
        points.append(_point(slot, reading, now))
        whole.add(reading)
    return Site(window, points, whole, served(whole))


def _point(slot: Slot, reading: Reading, now: float) -> SitePoint:
    p50, p95, p99 = reading.sketch.quantiles((0.5, 0.95, 0.99)) if reading.count else (None, None, None)
    hits, misses = reading.hit_sketch, reading.origin_sketch
    return SitePoint(
        at=slot.start,
        seconds=max(min(slot.end, now) - slot.start, 1e-3),
        count=reading.count,
        hits=reading.hits,
        errors=reading.errors,
        p50=p50,
        p95=p95,
        p99=p99,
        hits_p95=hits.quantile(0.95) if hits.count else None,
        misses_p95=misses.quantile(0.95) if misses.count else None,
    )


def served(whole: Reading) -> Served:
    """The hit rate by requests, by bytes and by time."""
    traffic = whole.traffic
    moved = traffic.hit_bytes + traffic.stored_bytes
    spent = traffic.saved + whole.seconds
    return Served(
        requests=whole.count,
        share=whole.hit_rate,
        bytes=traffic.hit_bytes / moved if moved else None,
        sent=traffic.hit_bytes,
        time=traffic.saved / spent if spent > 0.0 and whole.count else None,
        saved=traffic.saved,
    )


# -- charts -------------------------------------------------------------------------------------------------


def site_charts(site: Site, now: float, events: Sequence[Event] = ()) -> dict[str, Chart]:
    """Response times, hits apart from misses, and rates, each with what was done as upright lines."""
    points = site.points
    times = [one.at + one.seconds / 2 for one in points]
    lines: dict[str, dict[str, Course]] = {
        "latency": {name: [getattr(one, name) for one in points] for name in ("p50", "p95", "p99")},
        "apart": {
            "p95 of hits": [one.hits_p95 for one in points],
            "p95 of misses": [one.misses_p95 for one in points],
        },
        "rate": {
            "requests": [_rate(one, one.count) for one in points],
            "hits": [_rate(one, one.hits) for one in points],
            "failures": [_rate(one, one.errors) for one in points],
        },
    }
    span = now - site.window, now
    return {name: with_events(chart(times, some, span), events) for name, some in lines.items()}


def cache_charts(site: Site, now: float) -> dict[str, Chart]:
    """The hit rate, and response times of hits apart from misses."""
    points = site.points
    times = [one.at + one.seconds / 2 for one in points]
    shares: Course = [one.hits / one.count if one.count else None for one in points]
    apart: dict[str, Course] = {
        "p95 of hits": [one.hits_p95 for one in points],
        "p95 of misses": [one.misses_p95 for one in points],
    }
    span = now - site.window, now
    return {"share": chart(times, {"hit rate": shares}, span), "apart": chart(times, apart, span)}


def _rate(point: SitePoint, count: int) -> float:
    return count / max(point.seconds, 1.0)


def pool_chart(moments: Sequence[Means], window: float, now: float) -> Chart:
    """How busy the pools were, as shares; the busiest of them."""
    busiest = pool_names(moments)
    values: dict[str, Course] = {name: [one.values.get(name) for one in moments] for name in busiest}
    times = [one.at + one.seconds / 2 for one in moments]
    return chart(times, values, (now - window, now))


def pool_names(moments: Sequence[Means]) -> list[str]:
    """The pools that were busiest at any time, at most ``MOST_POOLS``."""
    most: dict[str, float] = {}
    for one in moments:
        for name, value in one.values.items():
            most[name] = max(value, most.get(name, 0.0))
    return sorted(most, key=lambda name: -most[name])[:MOST_POOLS]


# -- what was done meanwhile --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """What was done or noticed at unix time ``at``; ``until``: when an alert was over, None while open.

    ``kind``: ``deploy``, ``config``, ``start``, ``purge``, ``optimization``, ``alert`` or a caller's word.
    """

    at: float
    kind: str
    text: str
    who: str = ""
    count: int = 1
    until: float | None = None
    severity: str = ""


def events_of(annotations: Iterable[Annotation], alerts: Iterable[Alert], since: float) -> list[Event]:
    """The newest first; alerts that are still open belong to every time."""
    noted = [Event(one.at, one.kind, one.text, one.who, one.count) for one in annotations if one.at >= since]
    raised = [
        Event(one.raised_at, "alert", one.message, one.target, 1, one.resolved_at, one.severity)
        for one in alerts
        if one.resolved_at is None or one.resolved_at >= since
    ]
    return sorted([*noted, *raised], key=lambda event: -event.at)[:MOST_EVENTS]


def events_from(watching: Any, since: float) -> list[Event]:
    """Of a runtime's ``rounds.watching``; nothing where there is none."""
    if watching is None:
        return []
    return events_of(watching.timeline.items(), watching.alerts(), since)


def with_events(plain: Chart, events: Iterable[Event]) -> Chart:
    """The chart with an upright line for each event within it; its name says what it was."""
    wide = max(plain.end - plain.start, 1e-9)
    lines = [
        Line(f"{one.kind}: {one.text}", "alert" if one.kind == "alert" else "done", f"M{x:.1f},0V{HEIGHT}")
        for one in events
        if 0.0 <= (x := WIDTH * (one.at - plain.start) / wide) <= WIDTH
    ]
    return replace(plain, events=lines)
