"""What perfmw cannot change by itself while it runs: advice for people, with what to paste."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from perfmw.contracts import (
    Controls,
    OptimizationOpportunity,
    OptimizationRecommendation,
    PerformanceProfile,
    RuntimeSnapshot,
)
from perfmw.optimization.cache_route import DAY
from perfmw.optimization.option import requests_a_second, spent_a_day

Found = Iterator[OptimizationRecommendation]
CLIENT_SPEED = 2.5e6
"""Bytes a second that clients are taken to receive, 20 Mbit/s: nobody measures that here."""
SHRINKS = 0.7
"""Of the bytes of text, what compression spares at least; docs/benchmarks.md tells what it does."""
STARTS = 1.0
"""A day, that a process is taken to be started."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on something is worth a word. Durations in seconds, shares 0..1, sizes in bytes."""

    least_calls: int = 50
    slow_query: float = 0.1
    runs_per_request: float = 5.0
    repeated_query: int = 500
    not_found: float = 0.2
    large_body: float = 4096.0
    expired: float = 0.05
    cold: float = 0.3
    pool: float = 0.9
    loop_lag: float = 0.1


class AdviceOptimizer:
    """Recommends, and proposes nothing: each finding says what was measured, and what to paste.

    What it would save a day is measured, or worked out of what was measured and an assumption that the
    finding states; 0 where there is nothing to work it out of.

    :param followed: types of advice that settings follow already; nothing is said of them.
    """

    name = "advice"

    def __init__(self, thresholds: Thresholds | None = None, followed: Collection[str] = ()) -> None:
        self._limits = thresholds or Thresholds()
        self._followed = followed
        self._kinds: Sequence[Callable[[RuntimeSnapshot], Found]] = (
            self._queries,
            self._not_found,
            self._header,
            self._expired,
            self._large,
            self._cold,
            self._pools,
            self._overload,
        )

    def propose(self, snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        """Nothing: none of it can be switched on from here."""
        return ()

    def recommend(
        self, snapshot: RuntimeSnapshot, target: str | None = None
    ) -> list[OptimizationRecommendation]:
        """Pure. The most seconds saved first; for one profile if ``target`` names it."""
        said = (one for kind in self._kinds for one in kind(snapshot))
        found = [one for one in said if target in (None, one.target) and one.type not in self._followed]
        return sorted(found, key=lambda one: (-one.saved_seconds_per_day, one.title))

    def apply(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        """Raises ValueError: advice is for people."""
        raise ValueError(f"{opportunity.id}: advice is for people to follow")

    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        """There is nothing to undo."""

    def _queries(self, snapshot: RuntimeSnapshot) -> Found:
        requests = sum(_at_origin(one) for one in snapshot.profiles if one.type == "component")
        for query in snapshot.profiles:
            latency = query.metrics.latency
            if query.type != "query" or latency.count < self._limits.least_calls:
                continue
            spent = spent_a_day(query)
            if requests and latency.count >= self._limits.runs_per_request * requests:
                yield _n_plus_one(query, latency.count / requests, spent)
            elif latency.mean >= self._limits.slow_query:
                yield _slow_query(query, spent)
            elif latency.count >= self._limits.repeated_query:
                yield _repeated_query(query, spent)

    def _not_found(self, snapshot: RuntimeSnapshot) -> Found:
        for route in _routes(snapshot):
            missing, latency = route.metrics.error_rates.client_errors, route.metrics.latency
            if missing >= max(self._limits.least_calls, self._limits.not_found * latency.count):
                yield OptimizationRecommendation(
                    f"Let {route.name} say how long a 404 holds",
                    f"{missing:,} of {latency.count:,} answers were client errors, and the app worked out "
                    "each of them. A 404 that states its freshness is kept like any other answer.",
                    'return Response("not found", 404, headers={"Cache-Control": "public, max-age=10"})',
                    missing / latency.count * spent_a_day(route),
                    route.name,
                    "negative_caching",
                )

    def _header(self, snapshot: RuntimeSnapshot) -> Found:
        for rule in snapshot.cache_rules:
            if str(rule.get("name", "")).startswith("cache_route:") and rule.get("ttl"):
                path, ttl = rule["path"], float(rule["ttl"])
                behind = float(rule.get("stale_while_revalidate") or ttl)
                yield OptimizationRecommendation(
                    f"Send the freshness of {path} from the app",
                    f"A rule keeps {path} for {ttl:.0f} s here. The header says so to browsers and CDNs as "
                    "well; stale-while-revalidate lets nobody wait while an answer is fetched anew. What "
                    "that saves is not estimated: requests that they answer are never seen here.",
                    f'response.headers["Cache-Control"] = '
                    f'"public, max-age={ttl:.0f}, stale-while-revalidate={behind:.0f}"',
                    type="cache_header",
                )

    def _expired(self, snapshot: RuntimeSnapshot) -> Found:
        asked = sum(snapshot.cache_status.values())
        stale = snapshot.cache_status.get("stale", 0)
        if asked < 20 * self._limits.least_calls or stale < self._limits.expired * asked:
            return
        size = _mean_body(snapshot)
        basis = (
            f" At 20 Mbit/s that spares the way of {_kib(size)} each, where nothing changed." if size else ""
        )
        yield OptimizationRecommendation(
            "Give responses an ETag",
            f"{stale:,} of {asked:,} requests found an answer that had expired, and got all of it "
            f"anew. An ETag lets it be said to be unchanged; perfmw adds one where there is none.{basis}",
            "Settings(add_etag=True)",
            stale / asked * requests_a_second(snapshot) * DAY * size / CLIENT_SPEED,
            type="etag",
        )

    def _large(self, snapshot: RuntimeSnapshot) -> Found:
        used = snapshot.caching()
        size = _mean_body(snapshot)
        if (
            used is not None
            and used.whole.hits >= self._limits.least_calls
            and size >= self._limits.large_body
        ):
            yield OptimizationRecommendation(
                "Compress what is stored",
                f"Bodies from the cache have {_kib(size)} on average. Compressed, more of them fit, and "
                f"clients that take zstd get them so: if they are text, {SHRINKS:.0%} less, which at "
                f"20 Mbit/s are {1000 * SHRINKS * size / CLIENT_SPEED:.1f} ms each.",
                'Settings(compress_responses="shared")  # pip install "perfmw[compression]"',
                (used.whole.hit_rate or 0.0)
                * requests_a_second(snapshot)
                * DAY
                * SHRINKS
                * size
                / CLIENT_SPEED,
                type="compression",
            )

    def _cold(self, snapshot: RuntimeSnapshot) -> Found:
        hits, missed = snapshot.cache_status.get("hit", 0), snapshot.cache_status.get("uri-miss", 0)
        if hits < self._limits.least_calls or missed < self._limits.cold * (hits + missed):
            return
        kept = min(missed, max((layer.entries or 0 for layer in snapshot.layers), default=0))
        fill = _fill_seconds(snapshot)
        basis = (
            f" For each of {kept:,} answers that are kept now somebody waited, {1000 * fill:.0f} ms on "
            "average: that is taken to come once a day. What fetching ahead saves beside it is not estimated."
        )
        yield OptimizationRecommendation(
            "Warm the cache up after a start, and fetch ahead",
            f"{missed:,} requests found nothing kept, beside {hits:,} hits. What was read most before "
            "a restart can be asked for at start, and what usually comes next while nobody waits."
            + (basis if kept and fill else ""),
            'Settings(state_dir="/var/lib/perfmw", warm_up=["hottest"], predictive_prefetching=True)',
            STARTS * kept * fill,
            type="warm_up",
        )

    def _pools(self, snapshot: RuntimeSnapshot) -> Found:
        for pool in snapshot.pools:
            if (
                pool.unit != "connections"
                or (pool.utilization or 0.0) < self._limits.pool
                or not pool.capacity
            ):
                continue
            wanted = round(1.5 * pool.capacity)
            yield OptimizationRecommendation(
                f"Give the pool {pool.name} more connections",
                f"{pool.used:.0f} of {pool.capacity:.0f} are in use"
                + (
                    f", and requests wait {pool.wait_seconds * 1000:.0f} ms for one."
                    if pool.wait_seconds
                    else "."
                ),
                (pool.sized_by or "create_async_engine(url, pool_size={})").replace("{}", str(wanted)),
                (pool.waiting or 0) * DAY,  # by Little's law, if as many wait all day
                type="pool_size",
            )

    def _overload(self, snapshot: RuntimeSnapshot) -> Found:
        for process in snapshot.processes:
            late = process.loop_lag_p99 or 0.0
            if late < self._limits.loop_lag:
                continue
            mean = 0.01 * late + 0.49 * (process.loop_lag_p50 or 0.0)
            yield OptimizationRecommendation(
                "Find out what a limit of concurrency would do",
                f"The event loop of process {process.pid} came {1000 * late:.0f} "
                "ms late or more in one turn of a hundred. Observing counts what would be refused. Each "
                f"request waits for a turn at least once, {1000 * mean:.1f} ms on average or more: that is "
                "what a limit may spare those it lets in, at the most.",
                'Settings(concurrency_limit="observe")',
                mean * requests_a_second(snapshot) * DAY,
                type="concurrency",
            )
            return


def _routes(snapshot: RuntimeSnapshot) -> Iterator[PerformanceProfile]:
    """Those that the app answers: what was refused before it is nobody's to speed up."""
    gets = (one for one in snapshot.profiles if one.type == "component" and one.name.startswith("GET "))
    return (one for one in gets if one.name != "GET (refused)")


def _at_origin(profile: PerformanceProfile) -> int:
    return profile.metrics.latency.count - profile.metrics.throughput.hits


def _mean_body(snapshot: RuntimeSnapshot) -> float:
    """Bytes of an answer from the cache, on average; 0 where nobody knows."""
    used = snapshot.caching()
    return 0.0 if used is None or not used.whole.hits else (used.whole.hit_bytes or 0) / used.whole.hits


def _kib(size: float) -> str:
    return f"{size / 1024:.1f} KiB"


def _fill_seconds(snapshot: RuntimeSnapshot) -> float:
    """What a request that the app answers takes, on average; hits take next to nothing beside it."""
    routes = [one for one in snapshot.profiles if one.type == "component"]
    answered = sum(map(_at_origin, routes))
    spent = sum(one.metrics.latency.mean * one.metrics.latency.count for one in routes)
    return spent / answered if answered > 0 else 0.0


def _n_plus_one(query: PerformanceProfile, runs: float, spent: float) -> OptimizationRecommendation:
    return OptimizationRecommendation(
        f"Ask once instead of {runs:.0f} times a request: {query.name}",
        "It looks like a query for each row of another (N+1). Load what belongs together with it.",
        "select(Order).options(selectinload(Order.items))  # or one query: WHERE id IN (...)",
        spent * (1 - 1 / runs),
        query.name,
        "n_plus_one",
    )


def _slow_query(query: PerformanceProfile, spent: float) -> OptimizationRecommendation:
    mean = query.metrics.latency.mean
    return OptimizationRecommendation(
        f"Look at the plan of a slow query: {query.name}",
        f"It takes {mean * 1000:.0f} ms on average, {spent / 60:.0f} minutes a day.",
        f"EXPLAIN ANALYZE {query.name}",
        spent / 2,
        query.name,
        "slow_query",
    )


def _repeated_query(query: PerformanceProfile, spent: float) -> OptimizationRecommendation:
    return OptimizationRecommendation(
        f"Keep the result of a query that comes again and again: {query.name}",
        f"It ran {query.metrics.latency.count:,} times. Where its result may be some seconds old, keep it.",
        '@cached(ttl=30, tags=["..."])\nasync def load(...): ...  # the function that runs it',
        spent / 2,
        query.name,
        "query_cache",
    )
