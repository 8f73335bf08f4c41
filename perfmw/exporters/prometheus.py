"""What Prometheus is told, rendered when somebody scrapes, in the form that is asked for.

Names follow https://prometheus.io/docs/practices/naming/: base units, ``_total`` for counters, ``_ratio`` for
shares 0..1. Every label value comes from a profile, a layer, a pool or a Cache-Status word, so the number
of series is bounded by the number of profiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from perfmw.contracts.caching import CacheLayerInfo
from perfmw.contracts.profiles import LatencyMetrics, PerformanceProfile
from perfmw.contracts.resources import PoolSample
from perfmw.contracts.snapshot import Distribution, ProcessHealth, RuntimeSnapshot
from perfmw.exporters import protobuf
from perfmw.exporters.buckets import BOUNDS, classic, combined
from perfmw.exporters.caching import cache_families
from perfmw.exporters.exposition import (
    CONTENT_TYPES,
    Example,
    Family,
    Kind,
    Native,
    in_parts,
    negotiated,
    number,
    text_of,
    text_pieces,
)
from perfmw.exporters.limits import forecast_families, limit_families
from perfmw.exporters.worth import worth_families
from perfmw.profiles.score import overall
from perfmw.resources.efficiency import efficiency

__all__ = ["Family", "PrometheusExporter", "number"]


class PrometheusExporter:
    """A TextExporter for Prometheus and whatever reads one of its formats.

    :param histograms: tell durations as classic histograms, which can be added up over hosts and cut into
        windows, instead of quantiles since the start.
    :param native: tell them as native histograms to scrapers that take those, which a Prometheus with
        ``--enable-feature=native-histograms`` does; to others as classic ones.
    """

    name = "prometheus"
    content_type = CONTENT_TYPES["text"]

    def __init__(self, histograms: bool = False, native: bool = False) -> None:
        self._histograms = histograms or native
        self._native = native

    def render(self, snapshot: RuntimeSnapshot) -> str:
        """The whole exposition of one host as text, ending in a newline."""
        return text_of(self._families(snapshot))

    def answer(self, snapshot: RuntimeSnapshot, accept: str) -> tuple[bytes, str]:
        """The exposition in the form that an Accept header asks for, and its content type.

        OpenMetrics has exemplars beside the buckets of histograms; protobuf, given only where there are
        native histograms, has those.
        """
        pieces, content_type = self.pieces(snapshot, accept)
        return b"".join(pieces), content_type

    def pieces(self, snapshot: RuntimeSnapshot, accept: str) -> tuple[Iterator[bytes], str]:
        """The same piece by piece, each made in a millisecond: an event loop does other things between."""
        form = negotiated(accept, self._native)
        families = self._families(snapshot)
        if form == "protobuf":
            return protobuf.pieces(families), CONTENT_TYPES[form]
        return (piece.encode() for piece in text_pieces(families, form)), CONTENT_TYPES[form]

    def _families(self, snapshot: RuntimeSnapshot) -> Iterator[Family]:
        durations = _Durations(snapshot, self._native) if self._histograms else None
        yield from _requests([one for one in snapshot.profiles if one.type == "component"], durations)
        yield from _operations([one for one in snapshot.profiles if one.type != "component"], durations)
        yield from _judgements(snapshot.profiles)
        yield from _cache(snapshot)
        yield from _layers(snapshot.layers)
        yield from cache_families(snapshot.caching())
        yield from worth_families(snapshot)
        yield from _pools(snapshot.host_pools or snapshot.pools)
        yield from limit_families(snapshot.host_limits or snapshot.limits)
        yield from forecast_families(snapshot.forecast)
        yield from _processes(snapshot.processes)
        yield from _runtime(snapshot)


def _quantiles(family: Family, latency: LatencyMetrics, *labels: tuple[str, str]) -> None:
    for q, value in (
        ("0.5", latency.p50),
        ("0.75", latency.p75),
        ("0.9", latency.p90),
        ("0.95", latency.p95),
        ("0.99", latency.p99),
        ("0.999", latency.p999),
    ):
        family.add(value if latency.count else math.nan, *labels, ("quantile", q))
    family.add(latency.mean * latency.count, *labels, suffix="_sum")
    family.add(latency.count, *labels, suffix="_count")


class _Durations:
    """The durations of all profiles, to be told as histograms."""

    def __init__(self, snapshot: RuntimeSnapshot, native: bool) -> None:
        self._parts: dict[str, list[Distribution]] = {}
        self._native = native
        for one in snapshot.merged():
            self._parts.setdefault(one.profile_id, []).append(one)

    def tell(self, family: Family, profile_id: str, *labels: tuple[str, str]) -> None:
        """Add one profile's histogram, classic and, if wanted, native."""
        parts = self._parts.get(profile_id, [])
        examples = [_example(*one) for part in parts for one in part.exemplars]
        _buckets(family, parts, examples, *labels)
        if self._native:
            whole = combined(parts)
            count, total = sum(part.count for part in parts), sum(part.sum for part in parts)
            family.natives.append(Native(labels, whole, count, total, tuple(examples)))


def _example(trace_id: int, span_id: int, seconds: float, at: float) -> Example:
    return Example(f"{trace_id:032x}", f"{span_id:016x}", seconds, at)


def _buckets(
    family: Family, parts: Sequence[Distribution], examples: Sequence[Example], *labels: tuple[str, str]
) -> None:
    """A classic histogram of several distributions together."""
    columns = [classic(part) for part in parts]
    low = 0.0
    for place, bound in enumerate((*BOUNDS, math.inf)):
        count = sum(column[place] for column in columns)
        inside = [one for one in examples if low < one.value <= bound]
        newest = max(inside, key=lambda one: one.at, default=None)
        family.add(count, *labels, ("le", number(bound)), suffix="_bucket", exemplar=newest)
        low = bound
    family.add(sum(part.sum for part in parts), *labels, suffix="_sum")
    family.add(sum(part.count for part in parts), *labels, suffix="_count")


Profiles = Sequence[PerformanceProfile]


def _times(name: str, help_text: str, durations: _Durations | None, profiles: Profiles) -> Family:
    """Durations of several profiles, as quantiles or histograms."""
    family = Family(name, "summary" if durations is None else "histogram", help_text)
    for profile in profiles:
        labels = (("route", profile.name),) if profile.type == "component" else _named(profile)
        if durations is None:
            _quantiles(family, profile.metrics.latency, *labels)
        else:
            durations.tell(family, profile.id, *labels)
    return family


def _named(profile: PerformanceProfile) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("type", profile.type), ("name", profile.name)


def _requests(profiles: Profiles, durations: _Durations | None) -> Iterator[Family]:
    help_text = "Time to answer, cache hits included."
    times = partial(_times, "perfmw_request_duration_seconds", help_text, durations)
    return in_parts(profiles, _answered, _failed, times, _apdex)


def _answered(profiles: Profiles) -> Family:
    total = Family(
        "perfmw_requests_total", "counter", "Requests by route, served from the cache or forwarded."
    )
    for profile in profiles:
        throughput, route = profile.metrics.throughput, ("route", profile.name)
        total.add(throughput.hits, route, ("outcome", "hit"))
        total.add(throughput.count - throughput.hits, route, ("outcome", "forwarded"))
    return total


def _failed(profiles: Profiles) -> Family:
    errors = Family(
        "perfmw_request_errors_total", "counter", "Failed requests by route and status or exception."
    )
    for profile in profiles:
        for kind, count in profile.metrics.error_rates.by_kind.items():
            errors.add(count, ("route", profile.name), ("kind", kind))
    return errors


def _apdex(profiles: Profiles) -> Family:
    apdex = Family("perfmw_request_apdex_ratio", "gauge", "Apdex by route, 1 is best.")
    for profile in profiles:
        apdex.add(profile.metrics.user_experience.apdex, ("route", profile.name))
    return apdex


def _operations(profiles: Profiles, durations: _Durations | None) -> Iterator[Family]:
    help_text = "Time of queries, calls to services, and jobs."
    times = partial(_times, "perfmw_operation_duration_seconds", help_text, durations)
    return in_parts(profiles, _failed_operations, times)


def _failed_operations(profiles: Profiles) -> Family:
    errors = Family("perfmw_operation_errors_total", "counter", "Failed queries, calls and jobs.")
    for profile in profiles:
        rates = profile.metrics.error_rates
        errors.add(rates.server_errors + rates.exceptions, *_named(profile))
    return errors


def _judgements(profiles: Profiles) -> Iterator[Family]:
    whole = Family("perfmw_score", "gauge", "Performance score of all profiles, 0 to 100.")
    whole.add(overall(profiles))
    yield whole
    yield from in_parts(profiles, _scores, _targets, _baselines)


def _scores(profiles: Profiles) -> Family:
    score = Family("perfmw_profile_score", "gauge", "Performance score of a profile, 0 to 100.")
    for profile in profiles:
        score.add(profile.performance.current_score, *_named(profile))
    return score


def _targets(profiles: Profiles) -> Family:
    target = Family("perfmw_latency_target_seconds", "gauge", "Mean latency a profile should have.")
    for profile in profiles:
        targets = profile.performance.targets
        target.add(targets.latency if targets else None, *_named(profile))
    return target


def _baselines(profiles: Profiles) -> Family:
    baseline = Family(
        "perfmw_latency_baseline_seconds", "gauge", "Mean latency a profile is measured against."
    )
    for profile in profiles:
        known = profile.performance.baseline
        baseline.add(known.latency if known else None, *_named(profile))
    return baseline


def _cache(snapshot: RuntimeSnapshot) -> Iterator[Family]:
    statuses = Family(
        "perfmw_cache_responses_total", "counter", "Responses by what Cache-Status said of them."
    )
    for status, count in snapshot.cache_status.items():
        statuses.add(count, ("status", status))
    yield statuses
    if snapshot.prefetches:
        family = Family("perfmw_prefetches_total", "counter", "Prefetches by what came of them.")
        for outcome, count in snapshot.prefetches.items():
            family.add(count, ("outcome", outcome))
        yield family
    rules = Family("perfmw_cache_rules", "gauge", "Cache rules in force.")
    rules.add(len(snapshot.cache_rules))
    yield rules


_LAYER_COUNTERS = (
    ("hits", "Look-ups answered by a cache layer."),
    ("misses", "Look-ups a cache layer could not answer."),
    ("evictions", "Entries that left a cache layer for lack of room."),
    ("errors", "Failed calls of a cache layer."),
)
_LAYER_GAUGES = (
    ("entries", "perfmw_cache_layer_entries", "Entries held by a cache layer."),
    ("bytes", "perfmw_cache_layer_size_bytes", "Bytes held by a cache layer."),
    ("max_entries", "perfmw_cache_layer_max_entries", "Most entries a cache layer may hold."),
    ("max_bytes", "perfmw_cache_layer_max_bytes", "Most bytes a cache layer may hold."),
)


def _layers(layers: Sequence[CacheLayerInfo]) -> Iterator[Family]:
    for name, help_text in _LAYER_COUNTERS:
        family = Family(f"perfmw_cache_layer_{name}_total", "counter", help_text)
        for layer in layers:
            family.add(getattr(layer, name), ("layer", layer.name), ("kind", layer.kind))
        yield family
    for attribute, metric, help_text in _LAYER_GAUGES:
        family = Family(metric, "gauge", help_text)
        for layer in layers:
            family.add(getattr(layer, attribute), ("layer", layer.name), ("kind", layer.kind))
        yield family


def _pools(pools: Sequence[PoolSample]) -> Iterator[Family]:
    used = Family("perfmw_pool_used", "gauge", "How much of a resource pool is in use, in its unit.")
    capacity = Family("perfmw_pool_capacity", "gauge", "What a resource pool has, in its unit.")
    share = Family("perfmw_pool_utilization_ratio", "gauge", "Used share of a resource pool.")
    saturation = Family(
        "perfmw_pool_saturation_ratio", "gauge", "Share of work that waits for a pool or is lost."
    )
    wait = Family("perfmw_pool_wait_seconds", "gauge", "Time spent waiting for a resource pool.")
    waiting = Family("perfmw_pool_waiting", "gauge", "How many wait for a resource pool.")
    errors = Family(
        "perfmw_pool_errors_total", "counter", "How often something was lost or given up for want of a pool."
    )
    for pool in pools:
        name, unit = ("pool", pool.name), ("unit", pool.unit)
        used.add(pool.used, name, unit)
        capacity.add(pool.capacity, name, unit)
        share.add(pool.utilization, name)
        saturation.add(pool.saturation, name)
        wait.add(pool.wait_seconds, name)
        waiting.add(pool.waiting, name)
        errors.add(pool.errors, name)
    whole = Family(
        "perfmw_resource_efficiency_ratio", "gauge", "Resource efficiency over all pools, 1 is best."
    )
    whole.add(efficiency(pools))
    yield from (used, capacity, share, saturation, wait, waiting, errors, whole)


_PROCESS: tuple[tuple[str, Kind, str, str], ...] = (
    ("perfmw_active_requests", "gauge", "Requests under way in a worker.", "active_requests"),
    ("perfmw_tasks", "gauge", "Tasks of a worker's event loop.", "tasks"),
    ("perfmw_gc_seconds_total", "counter", "Time of a worker's garbage collection.", "gc_seconds"),
    ("perfmw_cpu_seconds_total", "counter", "Processor time of a worker.", "cpu_seconds"),
    ("perfmw_memory_bytes", "gauge", "Resident memory of a worker.", "memory_bytes"),
)


def _processes(processes: Sequence[ProcessHealth]) -> Iterator[Family]:
    for name, kind, help_text, attribute in _PROCESS:
        family = Family(name, kind, help_text)
        for process in processes:
            family.add(getattr(process, attribute), ("pid", str(process.pid)))
        yield family
    lag = Family("perfmw_event_loop_lag_seconds", "gauge", "How late the event loop of a worker comes.")
    for process in processes:
        for name in ("p50", "p99", "max"):
            value = getattr(process, f"loop_lag_{name}")
            lag.add(value, ("pid", str(process.pid)), ("statistic", name))
    yield lag
    workers = Family("perfmw_workers", "gauge", "Workers of this host whose figures these are.")
    workers.add(len(processes) or None)
    yield workers


def _runtime(snapshot: RuntimeSnapshot) -> Iterator[Family]:
    profiles = Family("perfmw_profiles", "gauge", "Profiles kept apart.")
    profiles.add(len(snapshot.profiles))
    window = Family("perfmw_window_seconds", "gauge", "Seconds that the counters cover.")
    window.add(snapshot.window_seconds)
    build = Family("perfmw_build_info", "gauge", "The version of perfmw; always 1.")
    build.add(1, ("version", _version()))
    yield from (profiles, window, build)


def _version() -> str:
    try:
        return version("perfmw")
    except PackageNotFoundError:
        return "unknown"
