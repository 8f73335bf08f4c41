"""What the engine needs of the process it runs in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from perfmw.contracts import (
    Alert,
    Controls,
    PerformanceMonitoringResult,
    PerformanceProfile,
    ProfileType,
    RuntimeSnapshot,
)

EVERYTHING = "all"
"""The name of a reading of all requests, and the profile id of a result that covers every profile."""


class SketchLike(Protocol):
    """A mergeable latency sketch, such as ``perfmw.profiles.LatencySketch``."""

    def quantile(self, q: float) -> float | None: ...

    def count_below(self, seconds: float) -> int: ...

    def merge(self, other: Any) -> Any: ...


class TrafficLike(Protocol):
    """What the cache did for a target."""

    @property
    def stale(self) -> int: ...


class ReadingLike(Protocol):
    """Cumulative counts of one profile; ``later - earlier`` is what happened between. Seconds."""

    @property
    def count(self) -> int: ...

    @property
    def hits(self) -> int: ...

    @property
    def errors(self) -> int: ...

    @property
    def seconds(self) -> float: ...

    @property
    def sketch(self) -> SketchLike: ...

    @property
    def traffic(self) -> TrafficLike: ...

    def __sub__(self, other: Any, /) -> ReadingLike: ...


Watch = Callable[[PerformanceProfile, float], Sequence[Alert]]
"""(profile, now) -> alerts newly raised by this look at it."""


def _unwatched(_profile: PerformanceProfile, _now: float) -> Sequence[Alert]:
    return ()


def _no_watch() -> Watch:
    return _unwatched


def _unmeasured() -> int | None:
    return None


def _no_event(_name: str, _detail: object) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHost:
    """The engine's whole world; tests hand in a fake one.

    ``reading`` takes a profile's name, or ``all``, and raises KeyError for an unknown one.
    ``ensure_profile`` makes a profile of that name and type exist. ``watch`` makes the degradation
    check of one monitoring session. ``on_event`` is told ("state", dict), ("applied",
    AppliedOptimization), ("reverted", opportunity) and ("finished", OptimizationResult); what it raises is
    logged. ``memory``: bytes that the process holds.
    """

    snapshot: Callable[[], RuntimeSnapshot]
    reading: Callable[[str], ReadingLike]
    controls: Controls
    ensure_profile: Callable[[str, ProfileType], object]
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    watch: Callable[[], Watch] = _no_watch
    on_event: Callable[[str, object], None] = _no_event
    monitor: Callable[[str, float], Awaitable[PerformanceMonitoringResult]] | None = None
    """(profile id, seconds) -> the result of a monitoring session; None: the engine samples by itself."""
    memory: Callable[[], int | None] = _unmeasured
