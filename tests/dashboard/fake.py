"""A stand-in for the runtime with what the dashboard asks of one, and numbers that a test can change."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace
from typing import Any, cast

from perfmw.contracts import (
    Alert,
    CacheLayerInfo,
    DashboardPanel,
    ErrorRateMetrics,
    LatencyMetrics,
    Measurement,
    OptimizationOpportunity,
    Overview,
    PerformanceProfile,
    PerformanceState,
    PoolSample,
    ProfileMetadata,
    ProfileMetrics,
    ProfileMonitoring,
    ProfileOptimizations,
    RuntimeSnapshot,
    Stat,
    ThroughputMetrics,
)
from perfmw.runtime.flames import HostFlames
from perfmw.settings import Settings

NOW = 1_760_000_000.0
EVIL = "<script>alert(1)</script>\"'"


def profile(name: str, **facts: Any) -> PerformanceProfile:
    count = facts.get("count", 1_000)
    p50 = facts.get("p50", 0.020)
    return PerformanceProfile(
        id=facts.get("id", f"p-{abs(hash(name)) % 10**9}"),
        name=name,
        type=facts.get("type", "component"),
        metrics=ProfileMetrics(
            latency=LatencyMetrics(count=count, mean=p50 * 1.3, p50=p50, p95=facts.get("p95", p50 * 4)),
            throughput=ThroughputMetrics(
                count=count, per_second=count / 300, hits=count // 2, hit_rate=facts.get("hit_rate", 0.5)
            ),
            error_rates=ErrorRateMetrics(server_errors=facts.get("errors", 0)),
        ),
        performance=PerformanceState(current_score=facts.get("score", 80.0)),
        optimizations=ProfileOptimizations(),
        monitoring=ProfileMonitoring(),
        metadata=ProfileMetadata(created_at=NOW, last_analyzed=NOW),
    )


def shop() -> list[PerformanceProfile]:
    """A small shop's routes."""
    return [
        profile("GET /", p50=0.0031, count=18_230, hit_rate=0.982, score=97.0),
        profile("GET /products/{id}", p50=0.0213, p95=0.187, count=42_711, hit_rate=0.744, score=88.0),
        profile("GET /search", p50=0.164, p95=0.71, count=9_120, hit_rate=0.121, score=54.0, errors=12),
        profile(
            "GET /api/prices/{sku}", p50=0.093, p95=0.42, count=12_904, hit_rate=0.0, score=61.0, errors=3
        ),
        profile(
            "GET /categories/{slug}/products", p50=0.048, p95=0.22, count=7_311, hit_rate=0.66, score=79.0
        ),
        profile("GET /account", p50=0.036, p95=0.09, count=2_210, hit_rate=0.0, score=82.0),
        profile("POST /cart", p50=0.0187, p95=0.061, count=1_630, hit_rate=0.0, score=90.0),
        profile("GET /static/{path}", p50=0.00042, p95=0.0011, count=31_002, hit_rate=0.999, score=99.0),
    ]


def wave(base: float, swing: float, points: int = 60, drift: float = 0.0) -> list[float]:
    return [base + drift * i / points + swing * math.sin(i / 4) * math.cos(i / 11) for i in range(points)]


class FakeLedger:
    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.standing: list[Any] = []

    def entries(self) -> list[Any]:
        return list(self.lines)

    def kept(self) -> list[Any]:
        return list(self.standing)

    def add(self, kind: str, title: str, target: str, at: float, **facts: Any) -> Any:
        opportunity = OptimizationOpportunity(
            id=f"o{len(self.lines)}", type="cache_route", target=target, title=title, optimizer="cache_route"
        )
        entry = SimpleNamespace(
            id=len(self.lines) + 1,
            at=at,
            kind=kind,
            run=facts.get("run", "r1"),
            who="dashboard",
            why=facts.get("why", ""),
            opportunity=opportunity,
            improvement=facts.get("improvement"),
            interval=facts.get("interval"),
            before=facts.get("before"),
            after=facts.get("after"),
        )
        self.lines.append(entry)
        if kind == "kept":
            self.standing.append(entry)
        return entry


class FakePlugins:
    def describe(self) -> list[dict[str, Any]]:
        return [{"name": "built-in", "origin": "built-in", "version": "0.1.0"}]


class FakePrometheus:
    name = "prometheus"
    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def render(self, snapshot: RuntimeSnapshot) -> str:
        return f"perfmw_profiles {len(snapshot.profiles)}\n"


class FakeRuntime:
    """``requests`` is shown as the sample size of the hit rate, so a test can change one number."""

    def __init__(self, profiles: list[PerformanceProfile] | None = None, **settings: Any) -> None:
        self.settings = Settings.load(env={}, cwd="/", **{"dashboard": "loopback", **settings})
        self.profiles_list = profiles or []
        self.plugins = FakePlugins()
        self.ledger = FakeLedger()
        self.exporters: dict[str, Any] = {"prometheus": FakePrometheus()}
        self.panels: list[DashboardPanel] = []
        self.alerts: list[Alert] = []
        self.cache_status: dict[str, int] = {}
        self.state: dict[str, Any] = {"status": "idle", "last": None}
        self.requests = 0
        self.snapshots_taken = 0
        self.started: list[Any] = []
        self.cancelled = 0
        self.rolled_back: list[Any] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.flames = HostFlames(cast(Any, self), lambda: 0)

    def snapshot(self) -> RuntimeSnapshot:
        self.snapshots_taken += 1
        return RuntimeSnapshot(
            taken_at=NOW,
            window_seconds=300.0,
            profiles=self.profiles_list,
            layers=[
                CacheLayerInfo("memory", "memory", entries=812, bytes=9_300_000, hits=71_000, misses=9_000)
            ],
            pools=[PoolSample("cpu", "cores", 2.0, 0.7, 0.35)],
            cache_rules=[{"id": "r1", "path": "/products/*", "ttl": 60}],
            cache_status=self.cache_status,
        )

    def overview(self) -> Overview:
        if not self.profiles_list:
            return Overview(
                Stat("Performance Score", None, "/100", 0),
                Stat("Cache Hit Rate", None, "%", 0),
                Stat("Resource Efficiency", None, "%", 0),
                Stat("Response Time", None, "ms", 0, better="down"),
            )
        return Overview(
            Stat("Performance Score", 87.4, "/100", 125_118, 0.062, "up", wave(80, 4, drift=7)),
            Stat("Cache Hit Rate", 71.3, "%", self.requests, 0.118, "up", wave(62, 4, drift=8)),
            Stat("Resource Efficiency", 64.0, "%", 300, -0.031, "up", wave(66, 3, drift=-2)),
            Stat("Response Time", 46.7, "ms", 125_118, -0.214, "down", wave(60, 6, drift=-13)),
            NOW,
        )

    def optimization_state(self) -> dict[str, Any]:
        return self.state

    def start_optimization(self, request: Any = None, profile_id: str | None = None) -> dict[str, Any]:
        if self.state["status"] == "running":
            raise RuntimeError("an optimization run is under way")
        if profile_id is not None and profile_id not in {profile.id for profile in self.profiles_list}:
            raise KeyError(profile_id)
        self.started.append((request, profile_id))
        step = {"id": "o2", "title": "Cache GET /search for 30 s"}
        self.state = {"status": "running", "step": step, "blocks_done": 3, "blocks": 8, "verdicts": []}
        return self.state

    def cancel_optimization(self) -> None:
        self.cancelled += 1
        self.state = {"status": "idle", "last": None}

    async def rollback(self, entry_id: int) -> Any:
        self.rolled_back.append(entry_id)
        self.ledger.standing = [entry for entry in self.ledger.standing if entry.id != entry_id]
        return self.ledger.lines[-1]

    def spawn(self, work: Any, *, name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


def busy() -> FakeRuntime:
    """A runtime that has seen traffic: every part of the page has something to show."""
    runtime = FakeRuntime(shop())
    runtime.requests = 125_118
    runtime.cache_status = {
        "hit": 89_204,
        "no-freshness": 20_140,
        "uri-miss": 8_001,
        "cookie": 5_230,
        "method": 2_543,
    }
    before = Measurement(2_210, 0.21, 0.164, 0.71, 0.001, 0.12, 1_944)
    after = Measurement(2_304, 0.083, 0.0021, 0.402, 0.001, 0.71, 668, stale_rate=0.034, memory=88 * 2**20)
    ledger = runtime.ledger
    ledger.add("proposed", "Cache GET /account for 10 s", "GET /account", NOW - 900, why="hot and repeatable")
    ledger.add(
        "rolled_back",
        "Cache GET /api/prices/{sku} for 5 s",
        "GET /api/prices/{sku}",
        NOW - 700,
        why="the gain is not proven",
        improvement=0.041,
        interval=(-0.06, 0.13),
        before=Measurement(900, 0.1, 0.093, 0.42, 0.0, 0.0, 900),
        after=Measurement(911, 0.096, 0.09, 0.41, 0.0, 0.18, 747),
    )
    ledger.add(
        "kept",
        "Cache GET /search for 30 s",
        "GET /search",
        NOW - 95,
        why="mean latency improved by +60% [+52%, +67%]",
        improvement=0.604,
        interval=(0.52, 0.67),
        before=before,
        after=after,
    )
    rows = [("emails", "12", "0.4 s"), ("invoices", "3", "1.9 s")]
    runtime.panels = [DashboardPanel("queue", "Job queue", ("Queue", "Waiting", "Oldest"), lambda: rows)]
    return runtime
