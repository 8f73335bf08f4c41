"""Give a slow, busy, repeating route the freshness that its app forgot to state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from perfmw.contracts import (
    Controls,
    OptimizationLevel,
    OptimizationOpportunity,
    OptimizationRecommendation,
    PerformanceProfile,
    PotentialOptimization,
    RouteObservation,
    RuntimeSnapshot,
)
from perfmw.optimization.paths import contains, overlaps, pattern_of

TYPE = "cache_route"
NO_FRESHNESS = "no-freshness"
DAY = 86_400.0
TTL_CAP = {"basic": 60.0, "advanced": 300.0, "aggressive": 3_600.0}
STALE_SHARE = {"basic": 0.05, "advanced": 0.05, "aggressive": 0.10}
"""Largest expected share of reads that find a body older than the app's, by level."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a route must show before it is proposed. Durations in seconds, shares 0..1."""

    min_requests: int = 50
    min_mean: float = 0.005
    min_p95: float = 0.020
    min_repeats: int = 10
    min_exposure: float = 15.0
    min_equal: float = 0.99
    min_eligible: float = 0.20
    min_gain: float = 0.10
    min_ttl: float = 5.0


@dataclass(frozen=True, slots=True)
class _Case:
    """One route with everything known about it."""

    route: RouteObservation
    profile: PerformanceProfile
    pattern: str
    window: float

    @property
    def eligible(self) -> float:
        """The share of requests that a rule could answer: those forwarded for want of freshness alone."""
        forwarded = max(self.route.requests - self.route.hits, 1)
        lacking = self.route.reasons.get(NO_FRESHNESS, 0) / forwarded
        anonymous = 1 - self.route.personal / max(self.route.samples, 1)
        return min(lacking, anonymous, 1.0)

    @property
    def origin_mean(self) -> float:
        """Mean seconds of a request that reached the app; hits cost next to nothing beside it."""
        latency, hits = self.profile.metrics.latency, self.profile.metrics.throughput.hits
        return latency.mean * latency.count / max(latency.count - hits, 1)

    @property
    def seconds_per_day(self) -> float:
        """What all its requests, to all workers of the host, would take the app, a day."""
        return self.origin_mean * self.profile.metrics.latency.count / self.window * DAY

    @property
    def active(self) -> float:
        """Seconds in which the requests came: a route may have been idle for most of the window."""
        return min(self.window, self.route.watched) or self.window

    @property
    def changes(self) -> int:
        return self.route.repeats - self.route.equal_repeats


class CacheRouteOptimizer:
    """Proposes a CacheRule for routes that are slow, hot, repeatable and without freshness.

    The TTL: with ``c`` body changes seen in ``E`` seconds of watched URL life, the change rate is below
    ``r = U(c)/E`` with 95% confidence (``U``: the Poisson upper bound, 3.0 for none). A body cached for T
    seconds is stale for a share of about ``r*T/2`` of its reads, so ``T = 2 * share / r``, where the share
    is 5% at the basic level; never longer than the route has been watched, nor than the level's cap (60 s
    at basic), and 5 s at least: below that, a route whose body was seen to change is not proposed.
    T is the oldest that an answer may become: for its first half it is fresh, in the second it still answers
    while a new one is fetched behind the visitor's back, so that nobody waits for a page that is in demand.

    Only anonymous answers are evidence, and the rule never says ``shared``: requests with Cookie or
    Authorization still go to the app.
    """

    name = TYPE

    def __init__(self, level: OptimizationLevel = "basic", limits: Limits | None = None) -> None:
        self._level = level
        self._limits = limits or Limits()

    def propose(self, snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        """Pure. The best opportunity first."""
        cases = list(_cases(snapshot))
        found = [self._opportunity(case) for case in cases if self._objection(case, cases, snapshot) is None]
        return sorted(found, key=lambda item: (-item.saved_seconds_per_day, item.target))

    def explain(self, snapshot: RuntimeSnapshot) -> list[PotentialOptimization]:
        """Why each other GET route is not proposed."""
        cases = list(_cases(snapshot))
        said = ((case, self._objection(case, cases, snapshot)) for case in cases)
        return [PotentialOptimization(TYPE, case.route.route, missing) for case, missing in said if missing]

    def recommend(
        self, snapshot: RuntimeSnapshot, target: str | None = None
    ) -> list[OptimizationRecommendation]:
        """What the app's developers could do better than a rule; for one route if ``target`` names it."""
        cases = list(_cases(snapshot))
        wanted = [case for case in cases if target in (None, case.route.route)]
        found = [case for case in wanted if self._objection(case, cases, snapshot) is None]
        advice = [_state_freshness(self._opportunity(case)) for case in found]
        return advice + [_share(case, self._gain(case, 1.0)) for case in wanted if self._looks_shared(case)]

    def objection(self, opportunity: OptimizationOpportunity, snapshot: RuntimeSnapshot) -> str | None:
        """What speaks by now against a change that is on: evidence that its trial brought to light."""
        for case in _cases(snapshot):
            if case.route.route == opportunity.target:
                return self._unsafe(case)
        return None

    def apply(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        """Raises ValueError for parameters that are not a rule's."""
        put_rule(opportunity, controls, "ttl", "stale_while_revalidate")

    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        controls.remove_cache_rule(rule_of(opportunity, "ttl", "stale_while_revalidate")[0])

    def _objection(self, case: _Case, cases: Sequence[_Case], snapshot: RuntimeSnapshot) -> str | None:
        return (
            _covered(case, snapshot)
            or self._not_worth_it(case)
            or self._unsafe(case)
            or self._unproven(case)
            or self._spills(case, cases)
            or self._no_gain(case)
        )

    def _not_worth_it(self, case: _Case) -> str | None:
        limits, latency = self._limits, case.profile.metrics.latency
        if case.route.requests < limits.min_requests:
            return f"too quiet: {case.route.requests} requests of {limits.min_requests} needed"
        if case.origin_mean < limits.min_mean and latency.p95 < limits.min_p95:
            return f"too fast to be worth it: {case.origin_mean * 1000:.1f} ms on average"
        if case.eligible < limits.min_eligible:
            return _ineligible(case)
        return None

    def _unsafe(self, case: _Case) -> str | None:
        route = case.route
        if route.cookies_set:
            return f"sets cookies: {route.cookies_set} of {route.samples} sampled answers"
        if route.repeats and route.equal_repeats < self._limits.min_equal * route.repeats:
            return f"changes too often: {case.changes} of {route.repeats} repeats differed"
        if case.changes and self._ttl_unbounded(route) < self._limits.min_ttl:
            return f"changes too often: {case.changes} changes in {route.exposure:.0f} s of watched life"
        return None

    def _unproven(self, case: _Case) -> str | None:
        route, limits = case.route, self._limits
        if route.repeats < limits.min_repeats:
            return f"not enough samples yet: {route.repeats} repeats of {limits.min_repeats} needed"
        if not route.distinct_urls:
            return "nobody asked for it lately"
        if min(route.exposure, route.watched) < limits.min_ttl or route.exposure < limits.min_exposure:
            return f"not watched long enough yet: {route.watched:.0f} s, {route.exposure:.0f} s of URL life"
        return None

    def _spills(self, case: _Case, cases: Sequence[_Case]) -> str | None:
        """A pattern that also matches another route's URLs must suit that route too."""
        for other in cases:
            if other is not case and overlaps(case.pattern, other.pattern):
                against = self._unsafe(other) or self._unproven(other)
                if against:
                    return f"{case.pattern} would also cover {other.route.route}, which {against}"
        return None

    def _no_gain(self, case: _Case) -> str | None:
        gain = self._gain(case)
        if gain < self._limits.min_gain:
            return f"too few repeats within {self.oldest(case.route):.0f} s: {gain:.0%} of requests would hit"
        return None

    def _looks_shared(self, case: _Case) -> bool:
        route, limits = case.route, self._limits
        return (
            case.eligible < limits.min_eligible
            and 2 * route.personal > route.samples
            and route.principal_pairs >= limits.min_repeats
            and route.equal_principal_pairs == route.principal_pairs
            and case.origin_mean >= limits.min_mean
            and self._unsafe(case) is None
        )

    def oldest(self, route: RouteObservation) -> float:
        """Whole seconds that an answer may be old, by the rule that the class states."""
        longest = min(TTL_CAP[self._level], route.watched)
        return float(max(self._limits.min_ttl, math.floor(min(self._ttl_unbounded(route), longest))))

    def _ttl_unbounded(self, route: RouteObservation) -> float:
        changes = route.repeats - route.equal_repeats
        return 2 * STALE_SHARE[self._level] * route.exposure / change_bound(changes)

    def _gain(self, case: _Case, eligible: float | None = None) -> float:
        """Predicted hit share, as if all URLs were equally popular: with a skew it is higher.

        :param eligible: the share of requests that a rule could answer, if not what it is.
        """
        share = case.eligible if eligible is None else eligible
        urls = max(case.route.distinct_urls / max(case.route.sampled, 1e-9), 1.0)
        per_url = case.route.requests * share / case.active / urls
        return share * hit_share(per_url, *halves(self.oldest(case.route)))

    def _opportunity(self, case: _Case) -> OptimizationOpportunity:
        route, oldest, gain = case.route, self.oldest(case.route), self._gain(case)
        ttl, behind = halves(oldest)
        return OptimizationOpportunity(
            id=f"{TYPE}:{route.route}",
            type=TYPE,
            target=route.route,
            title=f"Cache {case.pattern} for {oldest:.0f} s",
            optimizer=self.name,
            parameters={
                "rule_id": f"{TYPE}:{case.pattern}",
                "path": case.pattern,
                "ttl": ttl,
                "stale_while_revalidate": behind,
            },
            evidence=_evidence(case),
            expected_gain=gain,
            saved_seconds_per_day=gain * case.seconds_per_day,
            risk="low" if case.changes == 0 else "medium",
            level=self._level,
        )


def halves(oldest: float) -> tuple[float, float]:
    """How long an answer is fresh that may become so old, and how long it then answers still."""
    fresh = float(math.ceil(oldest / 2))
    return fresh, oldest - fresh


def hit_share(rate: float, ttl: float, behind: float) -> float:
    """The share of hits of a URL asked for ``rate`` times a second, at random times.

    An answer is fetched, serves for ``ttl`` seconds, and is fetched anew by the next request; that one waits
    only if it comes more than ``behind`` seconds later.
    """
    return 1 - math.exp(-rate * behind) / (1 + rate * ttl)


def change_bound(changes: int) -> float:
    """Upper 95% confidence bound of a Poisson mean after ``changes`` events (Wilson-Hilferty)."""
    n = changes + 1.0
    return float(n * (1 - 1 / (9 * n) + 1.645 / (3 * math.sqrt(n))) ** 3)


def _cases(snapshot: RuntimeSnapshot) -> Iterator[_Case]:
    profiles = {profile.name: profile for profile in snapshot.profiles}
    for route in snapshot.routes:
        method, _, template = route.route.partition(" ")
        pattern = pattern_of(template)
        profile = profiles.get(route.route)
        if method == "GET" and pattern is not None and profile is not None:
            yield _Case(route, profile, pattern, max(snapshot.window_seconds, 1e-9))


def _covered(case: _Case, snapshot: RuntimeSnapshot) -> str | None:
    for rule in snapshot.cache_rules:
        if rule.get("ttl") is not None and contains(str(rule.get("path", "")), case.pattern):
            return f"has a rule already: {rule.get('path')}"
    return None


def _ineligible(case: _Case) -> str:
    route = case.route
    if 2 * route.personal > route.samples:
        return f"personal: {route.personal} of {route.samples} sampled answers went to somebody known"
    others = {reason: count for reason, count in route.reasons.items() if reason != NO_FRESHNESS}
    if not others:
        return "never forwarded for want of freshness"
    reason = max(others, key=lambda word: (others[word], word))
    return f"a rule would not help: forwarded most often for {reason}"


def _evidence(case: _Case) -> dict[str, Any]:
    route = case.route
    return {
        "requests": route.requests,
        "origin_mean_seconds": case.origin_mean,
        "p95_seconds": case.profile.metrics.latency.p95,
        "eligible_share": case.eligible,
        "repeats": route.repeats,
        "equal_repeats": route.equal_repeats,
        "urls_watched": route.distinct_urls,
        "url_seconds_watched": route.exposure,
        "watched_seconds": route.watched,
        "interval_seconds": route.interval,
        "examples": list(route.example_paths),
    }


def rule_of(opportunity: OptimizationOpportunity, ttl: str, behind: str) -> tuple[str, str, float, float]:
    """Id, path, lifetime and seconds behind it, by the names of two parameters; the last may be missing.

    :raises ValueError: they are not those of a rule.
    """
    parameters = opportunity.parameters
    try:
        rule_id, path = parameters["rule_id"], parameters["path"]
        seconds = float(parameters[ttl]), float(parameters.get(behind, 0.0))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{opportunity.id}: not the parameters of a cache rule: {error!r}") from error
    named = isinstance(rule_id, str) and isinstance(path, str) and path.startswith("/")
    if not (named and 0 < seconds[0] < DAY and 0 <= seconds[1] < DAY):
        raise ValueError(f"{opportunity.id}: not the parameters of a cache rule: {dict(parameters)!r}")
    return rule_id, path, *seconds


def put_rule(opportunity: OptimizationOpportunity, controls: Controls, ttl: str, behind: str) -> None:
    """Put the rule of ``rule_of`` in force. Raises ValueError as it does."""
    rule_id, path, seconds, more = rule_of(opportunity, ttl, behind)
    controls.put_cache_rule(rule_id, path=path, ttl=seconds, methods=("GET",), stale_while_revalidate=more)


def _state_freshness(opportunity: OptimizationOpportunity) -> OptimizationRecommendation:
    _, path, ttl, behind = rule_of(opportunity, "ttl", "stale_while_revalidate")
    return OptimizationRecommendation(
        title=f"Say how long {opportunity.target} stays fresh",
        detail=(
            f"The app says nothing about freshness, and its answers repeat: a cache could answer about "
            f"{opportunity.expected_gain:.0%} of the requests. Send the header from the app, which browsers "
            f"and CDNs obey too, or keep a rule in the settings."
        ),
        snippet=(
            f'response.headers["Cache-Control"] = '
            f'"public, max-age={ttl:.0f}, stale-while-revalidate={behind:.0f}"\n'
            f'# or: Settings(cache_rules=[CacheRule(path="{path}", ttl={ttl:.0f}, '
            f"stale_while_revalidate={behind:.0f})])"
        ),
        saved_seconds_per_day=opportunity.saved_seconds_per_day,
        target=opportunity.target,
        type=TYPE,
    )


def _share(case: _Case, gain: float) -> OptimizationRecommendation:
    route = case.route
    return OptimizationRecommendation(
        title=f"Is {route.route} the same for everybody?",
        detail=(
            f"Most requests carry credentials, so nothing is shared, yet all {route.principal_pairs} "
            f"compared answers to different people were equal. If that is by design, say so; "
            f"perfmw does not guess. About {gain:.0%} of the requests could then be answered from the cache."
        ),
        snippet=f'Settings(cache_rules=[CacheRule(path="{case.pattern}", shared=True)])',
        saved_seconds_per_day=gain * case.seconds_per_day,
        target=route.route,
        type=TYPE,
    )
