"""A world with a clock of its own: sleeping lets traffic happen."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from perfmw.contracts import (
    LatencyMetrics,
    OptimizationOpportunity,
    PerformanceProfile,
    PerformanceState,
    ProfileMetadata,
    ProfileMetrics,
    ProfileMonitoring,
    ProfileOptimizations,
    ProfileType,
    RouteObservation,
    RuntimeSnapshot,
    ThroughputMetrics,
)
from perfmw.optimization import EngineHost, Gates, Ledger, PerformanceOptimizationEngine
from perfmw.profiles.recorder import Recorder

ROUTE = "GET /items/{id}"


def make_profile(
    name: str = ROUTE, *, mean: float = 0.05, count: int = 1_000, **more: Any
) -> PerformanceProfile:
    return PerformanceProfile(
        id=f"id:{name}",
        name=name,
        type="component",
        metrics=ProfileMetrics(
            latency=LatencyMetrics(count=count, mean=mean, p50=mean, p95=2 * mean, p99=3 * mean),
            throughput=ThroughputMetrics(count=count, per_second=count / 100.0, hits=more.get("hits", 0)),
        ),
        performance=PerformanceState(current_score=more.get("score", 60.0)),
        optimizations=ProfileOptimizations(),
        monitoring=ProfileMonitoring(),
        metadata=ProfileMetadata(0.0, 0.0),
    )


def make_route(route: str = ROUTE, **facts: Any) -> RouteObservation:
    """A route that deserves a rule, but for ``facts``."""
    usual: dict[str, Any] = {
        "requests": 1_000,
        "samples": 400,
        "distinct_urls": 40,
        "repeats": 360,
        "equal_repeats": 360,
        "interval": 2.0,
        "example_paths": ("/items/1",),
        "reasons": {"no-freshness": 1_000},
        "exposure": 720.0,
        "watched": 100.0,
    }
    return RouteObservation(route=route, **(usual | facts))


def make_opportunity(name: str = "a", **more: Any) -> OptimizationOpportunity:
    usual: dict[str, Any] = {
        "type": "fake",
        "target": ROUTE,
        "title": f"do {name}",
        "optimizer": "fake",
        "parameters": {"rule_id": name, "path": "/items/*", "ttl": 10.0},
        "saved_seconds_per_day": 100.0,
    }
    return OptimizationOpportunity(id=name, **(usual | more))


class RuleControls:
    def __init__(self) -> None:
        self.rules: dict[str, float] = {}
        self.calls: list[tuple[str, str]] = []
        self.options: dict[str, Any] = {}

    def put_cache_rule(self, rule_id: str, *, path: str, ttl: float, **_more: Any) -> None:
        self.calls.append(("put", rule_id))
        self.rules[rule_id] = ttl

    def remove_cache_rule(self, rule_id: str) -> None:
        self.calls.append(("remove", rule_id))
        self.rules.pop(rule_id, None)

    def set_option(self, name: str, value: Any) -> None:
        self.calls.append((name, str(value)))
        self.options[name] = value


@dataclass
class FakeOptimizer:
    """Proposes what it is given; its change is a rule."""

    opportunities: Sequence[OptimizationOpportunity] = field(default_factory=lambda: [make_opportunity()])
    name: str = "fake"
    fail_apply: bool = False
    fail_propose: bool = False

    def propose(self, _snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        if self.fail_propose:
            raise RuntimeError("propose is broken")
        return self.opportunities

    def apply(self, opportunity: OptimizationOpportunity, controls: Any) -> None:
        controls.put_cache_rule(opportunity.id, path="/x", ttl=1.0)
        if self.fail_apply:
            raise RuntimeError("apply is broken")

    def revert(self, opportunity: OptimizationOpportunity, controls: Any) -> None:
        controls.remove_cache_rule(opportunity.id)


class World:
    """Requests arrive while somebody sleeps; a rule named in ``hit_share`` answers that share of them."""

    def __init__(self, seed: int = 7) -> None:
        self.now = 1_000_000.0
        self.random = Random(seed)
        self.rate = 40.0
        self.noise = 0.3
        self.level = 1.0
        self.hit_share: dict[str, float] = {"a": 0.8}
        self.failing: dict[str, float] = {}
        self.slowing: dict[str, float] = {}
        self.stretching: dict[str, float] = {}
        """How many times as long a rule makes the slowest hundredth take."""
        self.concerns: dict[str, str] = {}
        """The route that a rule is for; without an entry it is for all."""
        self.controls = RuleControls()
        self.recorders = {ROUTE: Recorder(ROUTE)}
        self.profiles: dict[str, PerformanceProfile] = {ROUTE: make_profile()}
        self.routes: list[RouteObservation] = []
        self.events: list[tuple[str, Any]] = []
        self.on_sleep: Callable[[], object] = lambda: None
        self.raised: Callable[[PerformanceProfile, float], Sequence[Any]] = lambda _profile, _now: ()
        self.ensured: list[tuple[str, str]] = []
        self.hits = 0
        """Of which every fiftieth is stale."""

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        for recorder in self.recorders.values():
            for _ in range(round(self.rate * seconds)):
                self._request(recorder)
        self.on_sleep()
        await asyncio.sleep(0)

    def _request(self, recorder: Recorder) -> None:
        name = recorder.name
        rules = [rule for rule in self.controls.rules if self.concerns.get(rule, name) == name]
        if self.random.random() < max((self.hit_share.get(rule, 0.0) for rule in rules), default=0.0):
            recorder.hit(0.0002)
            self.hits += 1
            recorder.traffic.stale += self.hits % 50 == 0
            return
        slower = math.prod(self.slowing.get(rule, 1.0) for rule in rules)
        deviate = self.random.gauss(0, 1)
        if deviate > 2.33:
            slower *= math.prod(self.stretching.get(rule, 1.0) for rule in rules)
        seconds = 0.05 * self.level * slower * math.exp(self.noise * deviate)
        failed = self.random.random() < max((self.failing.get(rule, 0.0) for rule in rules), default=0.0)
        recorder.origin(seconds, 500 if failed else 200, "no-freshness")

    def snapshot(self) -> RuntimeSnapshot:
        return RuntimeSnapshot(self.now, 100.0, tuple(self.profiles.values()), tuple(self.routes))

    def ensure(self, name: str, kind: ProfileType) -> None:
        self.ensured.append((name, kind))
        self.profiles.setdefault(name, make_profile(name, count=0))

    def host(self) -> EngineHost:
        return EngineHost(
            snapshot=self.snapshot,
            reading=lambda name: self.recorders[name].reading(),
            controls=self.controls,
            ensure_profile=self.ensure,
            clock=self.clock,
            sleep=self.sleep,
            memory=lambda: 80 * 2**20,
            watch=lambda: self.raised,
            on_event=lambda name, detail: self.events.append((name, detail)),
        )

    def engine(self, *optimizers: Any, ledger: Ledger | None = None) -> PerformanceOptimizationEngine:
        named = {optimizer.name: optimizer for optimizer in (optimizers or (FakeOptimizer(),))}
        ledger = ledger or Ledger(clock=self.clock)
        return PerformanceOptimizationEngine(self.host(), named, ledger, gates=Gates(), seed=3)
