"""What the runtime hands to exporters, optimizers and the dashboard: one picture of one moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from perfmw.contracts.caching import CacheLayerInfo, CacheManager, CacheStatistics
from perfmw.contracts.profiles import PerformanceProfile, ProfileOptimizations
from perfmw.contracts.resources import PoolSample


@dataclass(slots=True)
class RouteObservation:
    """What was seen of one route's responses, from a sample of its URLs.

    ``repeats`` counts sampled anonymous responses whose URL had been seen before, anonymously;
    ``equal_repeats`` those whose body had not changed since. ``personal`` counts responses to requests
    that carried credentials. ``cookies_set`` counts responses with Set-Cookie.
    ``interval`` is the median number of seconds between two sampled requests of one URL.
    ``exposure`` is the time between compared responses, summed over the URLs; ``watched`` the time from
    the first sample to the last; ``sampled`` the share of URLs that are watched at all.
    ``principal_pairs`` counts answers of one URL to two different principals (nobody is one),
    ``equal_principal_pairs`` those that were the same.
    ``reasons`` counts why requests were forwarded (the words of Cache-Status).
    """

    route: str
    requests: int = 0
    hits: int = 0
    samples: int = 0
    distinct_urls: int = 0
    repeats: int = 0
    equal_repeats: int = 0
    personal: int = 0
    cookies_set: int = 0
    interval: float | None = None
    example_paths: Sequence[str] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)
    exposure: float = 0.0
    watched: float = 0.0
    sampled: float = 1.0
    principal_pairs: int = 0
    equal_principal_pairs: int = 0


@dataclass(slots=True)
class Distribution:
    """Durations of one target with one status, counted by one process since ``since`` (unix seconds).

    ``buckets``: key -> count; bucket ``k`` holds the seconds from ``growth ** k`` up to
    ``growth ** (k + 1)``; ``zeros`` are apart. ``status``: 0 for an exception, 1 for what has none,
    -1 for answers of the cache.
    ``exemplars``: (trace id, span id, seconds, unix time) of requests that stand for a bucket.
    """

    profile_id: str
    type: str
    name: str
    status: int
    growth: float
    buckets: Mapping[int, int]
    zeros: int
    count: int
    sum: float
    min: float
    max: float
    since: float
    exemplars: Sequence[tuple[int, int, float, float]] = ()


@dataclass(slots=True)
class ProcessHealth:
    """One process: its event loop and what it used. Seconds and bytes; None where it is not known."""

    pid: int
    loop_lag_p50: float | None = None
    loop_lag_p99: float | None = None
    loop_lag_max: float | None = None
    slow_callbacks: Sequence[Mapping[str, Any]] = ()
    tasks: int = 0
    active_requests: int = 0
    gc_collections: int = 0
    gc_seconds: float = 0.0
    gc_longest: float = 0.0
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    started_at: float = 0.0


def _unknown() -> None:
    """Nobody counts."""


@dataclass(slots=True)
class RuntimeSnapshot:
    """One moment: profiles, layers and Cache-Status of all workers of the host.

    ``window_seconds`` is what the profiles cover. ``distributions`` gives the durations when called;
    ``routes`` are gathered when looked at first.
    """

    taken_at: float
    window_seconds: float
    profiles: Sequence[PerformanceProfile] = ()
    routes: Sequence[RouteObservation] = ()
    layers: Sequence[CacheLayerInfo] = ()
    pools: Sequence[PoolSample] = ()
    cache_rules: Sequence[Mapping[str, Any]] = ()
    cache_status: Mapping[str, int] = field(default_factory=dict)
    """How often each Cache-Status outcome was given: ``hit``, ``stale``, ``uri-miss``, ``bypass`` …"""
    processes: Sequence[ProcessHealth] = ()
    """The workers of this host, the one that tells first."""
    distributions: Callable[[], Sequence[Distribution]] = field(default=tuple, repr=False, compare=False)
    merged: Callable[[], Sequence[Distribution]] = field(default=tuple, repr=False, compare=False)
    """The same of all workers together: status -1: the cache's answers, 1: the app's, 0: failures."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Of this process: groups of routes with their limits, and quotas; empty where nothing is limited."""
    prefetches: Mapping[str, int] = field(default_factory=dict)
    """How many prefetches of this process had each outcome; empty where none are made."""
    waste: Mapping[str, int] = field(default_factory=dict)
    """Bytes of pages ``watched`` in memory, and those ``never_hit``, of this process; else empty."""
    managers: Callable[[], Sequence[CacheManager]] = field(default=tuple, repr=False, compare=False)
    """The caches of this process, with their metrics."""
    forecast: Mapping[str, Any] = field(default_factory=dict)
    """The request rate, what is expected of it, and how many workers that takes."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The values of what ``Controls.set_option`` takes, as far as they can be told."""
    busiest_pools: Sequence[PoolSample] = ()
    """Of the last samples of each of ``pools``, at its present size, the one in which most wait."""
    host_pools: Sequence[PoolSample] = ()
    """``pools`` of all workers of the host: those of the host once, those of a worker added up."""
    host_limits: Mapping[str, Any] = field(default_factory=dict)
    """``limits`` of all workers of the host, added up."""
    caching: Callable[[], CacheStatistics | None] = field(default=_unknown, repr=False, compare=False)
    """What the caches did, by layer, namespace, route and function; None where nobody counts."""
    optimizations: ProfileOptimizations = field(default_factory=ProfileOptimizations)
    """Those of all profiles, and of what concerns none alone; most time saved first. Not to be changed."""


@dataclass(slots=True)
class Stat:
    """A stat card: its value, what it counts, how many samples stand behind it, and its course.

    ``trend`` is the relative change of ``series`` (newer half against older half).
    ``better`` says which way is good.
    """

    title: str
    value: float | None
    unit: str
    samples: int
    trend: float | None = None
    better: Literal["up", "down"] = "up"
    series: Sequence[float] = ()


@dataclass(slots=True)
class Overview:
    """The four stat cards of the dashboard's head."""

    performance_score: Stat
    cache_hit_rate: Stat
    resource_efficiency: Stat
    response_time: Stat
    taken_at: float = 0.0


@dataclass(slots=True)
class Alert:
    """One incident. ``key`` identifies it across updates; ``resolved_at`` closes it."""

    key: str
    type: str
    severity: Literal["low", "medium", "high"]
    message: str
    target: str
    raised_at: float
    resolved_at: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stage(self) -> Literal["raised", "updated", "resolved"]:
        """Whether this is the first, a later or the last that is told of the incident."""
        if self.resolved_at is not None:
            return "resolved"
        return "updated" if self.details.get("update") else "raised"


@dataclass(slots=True)
class ScaleAdvice:
    """How many workers or replicas are needed at ``at`` and why."""

    at: float
    current: int
    wanted: int
    reason: str
