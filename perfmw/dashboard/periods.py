"""How all routes together went over the last day, and the last period against the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from perfmw.dashboard.charts import Chart, chart
from perfmw.dashboard.host import Host

DAY: Final = 86_400.0
_REACHES: Final = (300.0, 3600.0)
"""Younger stores have shorter slots, so that there are several."""
_LEAST: Final = 60.0
_MOST_POINTS: Final = 600


@dataclass(frozen=True, slots=True)
class Stretch:
    """All routes from ``at`` (unix seconds) for ``seconds``; ``busy``: seconds of successful requests."""

    at: float
    seconds: float
    requests: int
    hits: int
    errors: int
    busy: float


@dataclass(frozen=True, slots=True)
class Course:
    """``now`` and ``before`` are neighbouring periods of ``period`` seconds; ``stretches``: oldest first."""

    period: float
    now: Stretch
    before: Stretch
    stretches: list[Stretch]


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure of the two periods; ``change`` 0.1 is 10% more; None from nothing."""

    name: str
    unit: str
    now: float
    before: float
    change: float | None
    worse: bool


def course_of(host: Host, now: float) -> Course:
    """Of a store that is a day old, twelve hours against the twelve before; of a younger one, its halves."""
    profiles: Any = getattr(host, "profiles", None)
    if profiles is None:
        return Course(0.0, _sum([], now, 0.0), _sum([], now, 0.0), [])
    routes = [one for one in profiles.everything() if one.recorder.type == "component"]
    born = min((one.created_at for one in routes), default=now)
    reach = next((window for window in _REACHES if now - born <= window), DAY)
    # what all did together is one course instead of a thousand, but is not kept over a restart
    watched = [profiles.whole] if born >= profiles.started_at else [one.windows for one in routes]
    slots = [slot for windows in watched for slot in windows.course(reach, now)]
    oldest = min((slot.start for slot in slots), default=now)
    period = max(min(now - oldest, DAY) / 2.0, 0.0)
    return Course(
        period,
        _sum([slot for slot in slots if slot.start >= now - period], now - period, period),
        _sum([slot for slot in slots if slot.start < now - period], now - 2 * period, period),
        _stretches(profiles.series()),
    )


def _sum(slots: Sequence[Any], at: float, seconds: float) -> Stretch:
    tallies = [slot.tally for slot in slots]
    if slots:  # what the slots cover, which begin and end where they do
        at = min(slot.start for slot in slots)
        seconds = max(slot.end for slot in slots) - at
    return Stretch(
        at,
        max(seconds, 1e-9),
        sum(one.count for one in tallies),
        sum(one.hits for one in tallies),
        sum(one.errors for one in tallies),
        sum(one.seconds for one in tallies),
    )


def _stretches(points: Sequence[Any]) -> list[Stretch]:
    """The last minutes, second by second."""
    return [
        Stretch(
            one.at - one.seconds, one.seconds, one.requests, one.hits, one.errors, one.mean * one.requests
        )
        for one in points[-_MOST_POINTS:]
    ]


def compared(course: Course) -> list[Compared]:
    """The figures of both periods; none where one of them is shorter than half a minute, or empty."""
    now, before = course.now, course.before
    if 2 * course.period < _LEAST or not now.requests or not before.requests:
        return []
    rows: list[tuple[str, str, tuple[float, float], int]] = [
        ("Requests", "a second", (now.requests / now.seconds, before.requests / before.seconds), 0),
        ("Response time", "ms", (1000.0 * _mean(now), 1000.0 * _mean(before)), 1),
        ("Cache hit rate", "%", (_percent(now.hits, now), _percent(before.hits, before)), -1),
        ("Failed", "%", (_percent(now.errors, now), _percent(before.errors, before)), 1),
    ]
    return [_row(name, unit, *values, bad) for name, unit, values, bad in rows]


def _percent(part: int, one: Stretch) -> float:
    return 100.0 * part / one.requests


def _mean(one: Stretch) -> float:
    succeeded = one.requests - one.errors
    return one.busy / succeeded if succeeded > 0 else 0.0


def _row(name: str, unit: str, now: float, before: float, bad: int) -> Compared:
    change = (now - before) / before if before else None
    return Compared(name, unit, now, before, change, bad * (now - before) > 0.05 * max(now, before))


def charts_of(course: Course) -> list[tuple[str, str, Chart]]:
    """(title, unit, chart) of response time, requests and hits; empty charts where nothing is known."""
    found = [one for one in course.stretches if one.requests]
    if not found:
        return []
    times = [one.at for one in found]
    span = found[0].at, found[-1].at + found[-1].seconds
    lines = (
        ("Response time", "ms", [1000.0 * one.busy / one.requests for one in found]),
        ("Requests", "a second", [one.requests / max(one.seconds, 1e-9) for one in found]),
        ("Cache hit rate", "%", [100.0 * one.hits / one.requests for one in found]),
    )
    return [(name, unit, chart(times, {name: values}, span)) for name, unit, values in lines]
