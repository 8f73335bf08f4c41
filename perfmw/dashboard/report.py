"""The performance report: one moment in full, for a file or a mail."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perfmw import __version__
from perfmw.contracts import (
    Alert,
    CacheLayerInfo,
    OptimizationRecommendation,
    Overview,
    PoolSample,
    RuntimeSnapshot,
    Stat,
)
from perfmw.dashboard.asked import pools_of
from perfmw.dashboard.host import Host
from perfmw.dashboard.periods import Compared, Course, compared, course_of
from perfmw.dashboard.view import LedgerRow, Reason, RouteRow, ledger_rows, reasons, route_table

MOST_ADVICE = 20


@dataclass(frozen=True, slots=True)
class Report:
    """``taken_at`` in unix seconds; ``routes`` are all routes, the one that took the most time first."""

    product: str
    workers: int
    taken_at: float
    window_seconds: float
    overview: Overview
    routes: list[RouteRow]
    reasons: list[Reason]
    layers: Sequence[CacheLayerInfo]
    pools: Sequence[PoolSample]
    rules: Sequence[Any]
    ledger: list[LedgerRow]
    recommendations: list[OptimizationRecommendation]
    alerts: Sequence[Alert]
    course: Course
    comparison: list[Compared]

    @property
    def file_name(self) -> str:
        return time.strftime("perfmw-report-%Y%m%d-%H%M%SZ", time.gmtime(self.taken_at))

    @property
    def title(self) -> str:
        return time.strftime("Performance report, %d %B %Y, %H:%M UTC", time.gmtime(self.taken_at))

    @property
    def stats(self) -> tuple[Stat, ...]:
        return stats_of(self.overview)


def stats_of(overview: Overview) -> tuple[Stat, ...]:
    return (
        overview.performance_score,
        overview.cache_hit_rate,
        overview.resource_efficiency,
        overview.response_time,
    )


def gather(host: Host, snapshot: RuntimeSnapshot) -> Report:
    course = course_of(host, snapshot.taken_at)
    return Report(
        product=f"perfmw {__version__}",
        workers=len(snapshot.processes),
        taken_at=snapshot.taken_at,
        window_seconds=snapshot.window_seconds,
        overview=host.overview(),
        routes=route_table(snapshot, None).items,
        reasons=reasons(snapshot.cache_status),
        layers=snapshot.layers,
        pools=pools_of(snapshot),
        rules=snapshot.cache_rules,
        ledger=ledger_rows(host.ledger),
        recommendations=snapshot.optimizations.recommendations[:MOST_ADVICE],
        alerts=list(host.alerts),
        course=course,
        comparison=compared(course),
    )
