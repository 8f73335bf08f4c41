"""What perfmw cannot change by itself while it runs: advice for people, with what to paste."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from perfmw.contracts import (
    Controls,
    OptimizationOpportunity,
    OptimizationRecommendation,
    PerformanceProfile,
    RuntimeSnapshot,
)
from perfmw.optimization.cache_route import DAY

Found = Iterator[OptimizationRecommendation]


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
    """Recommends, and proposes nothing: each finding says what was measured, and what to paste."""

    name = "advice"

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self._limits = thresholds or Thresholds()
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
        found = [one for kind in self._kinds for one in kind(snapshot) if target in (None, one.target)]
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
            spent = latency.mean * latency.count / _window(snapshot) * DAY
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
                    missing / _window(snapshot) * DAY * latency.mean,
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
                    "well; stale-while-revalidate lets nobody wait while an answer is fetched anew.",
                    f'response.headers["Cache-Control"] = '
                    f'"public, max-age={ttl:.0f}, stale-while-revalidate={behind:.0f}"',
                    type="cache_header",
                )

    def _expired(self, snapshot: RuntimeSnapshot) -> Found:
        asked = sum(snapshot.cache_status.values())
        stale = snapshot.cache_status.get("stale", 0)
        if asked < 20 * self._limits.least_calls or stale < self._limits.expired * asked:
            return
        yield OptimizationRecommendation(
            "Give responses an ETag",
            f"{stale:,} of {asked:,} requests found an answer that had expired, and got all of it "
            "anew. An ETag lets it be said to be unchanged; perfmw adds one where there is none.",
            "Settings(add_etag=True)",
            type="etag",
        )

    def _large(self, snapshot: RuntimeSnapshot) -> Found:
        used = snapshot.caching()
        if used is None or used.whole.hit_bytes is None or used.whole.hits < self._limits.least_calls:
            return
        mean = used.whole.hit_bytes / used.whole.hits
        if mean >= self._limits.large_body:
            yield OptimizationRecommendation(
                "Compress what is stored",
                f"Bodies from the cache have {mean / 1024:.1f} KiB on average. Compressed, more of them "
                "fit, and clients that take zstd get them so.",
                'Settings(compress_responses="shared")  # pip install "perfmw[compression]"',
                type="compression",
            )

    def _cold(self, snapshot: RuntimeSnapshot) -> Found:
        hits, missed = snapshot.cache_status.get("hit", 0), snapshot.cache_status.get("uri-miss", 0)
        if hits < self._limits.least_calls or missed < self._limits.cold * (hits + missed):
            return
        yield OptimizationRecommendation(
            "Warm the cache up after a start, and fetch ahead",
            f"{missed:,} requests found nothing kept, beside {hits:,} hits. What was read most before "
            "a restart can be asked for at start, and what usually comes next while nobody waits.",
            'Settings(state_dir="/var/lib/perfmw", warm_up=["hottest"], predictive_prefetching=True)',
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
                type="pool_size",
            )

    def _overload(self, snapshot: RuntimeSnapshot) -> Found:
        for process in snapshot.processes:
            if (process.loop_lag_p99 or 0.0) >= self._limits.loop_lag:
                yield OptimizationRecommendation(
                    "Find out what a limit of concurrency would do",
                    f"The event loop of process {process.pid} came {1000 * (process.loop_lag_p99 or 0):.0f} "
                    "ms late or more in one turn of a hundred. Observing counts what would be refused.",
                    'Settings(concurrency_limit="observe")',
                    type="concurrency",
                )
                return


def _window(snapshot: RuntimeSnapshot) -> float:
    return max(snapshot.window_seconds, 1e-9)


def _routes(snapshot: RuntimeSnapshot) -> Iterator[PerformanceProfile]:
    return (one for one in snapshot.profiles if one.type == "component" and one.name.startswith("GET "))


def _at_origin(profile: PerformanceProfile) -> int:
    return profile.metrics.latency.count - profile.metrics.throughput.hits


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
