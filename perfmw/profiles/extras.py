"""What a profile knows beside its requests: resources, attributed from samples, and browsers' own figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from perfmw.contracts.profiles import ProfileMetrics, ResourceUsageMetrics
from perfmw.profiles.breakdown import Breakdown
from perfmw.profiles.sketch import LatencySketch

VITALS: Final = ("LCP", "INP", "CLS", "TTFB")
"""Largest Contentful Paint, Interaction to Next Paint and Time to First Byte in seconds; Cumulative Layout
Shift without a unit (web.dev/articles/vitals)."""
SHARES: Final = (
    "queueing", "cache", "app", "database", "integrations", "serialisation", "loop_lag", "other", "cpu",
)  # fmt: skip
MOST_REPEATED: Final = 20


class Extras:
    """Made for the few profiles that have such figures."""

    __slots__ = ("repeated", "sampled", "shares", "usage", "vitals")

    def __init__(self) -> None:
        self.sampled = 0
        self.shares: dict[str, float] = dict.fromkeys(SHARES, 0.0)
        """Seconds of the sampled requests, by where they went."""
        self.repeated: dict[str, tuple[int, int]] = {}
        """Statement -> requests that ran it again and again, and the most runs of one request."""
        self.usage: Callable[[], ResourceUsageMetrics] | None = None
        """For the profile of the process: what it used."""
        self.vitals: dict[str, LatencySketch] = {}

    def sample(self, breakdown: Breakdown) -> None:
        """Where one sampled request's time went."""
        self.sampled += 1
        for name in SHARES:
            self.shares[name] += getattr(breakdown, name)
        for one in breakdown.repeated:
            if one.statement in self.repeated or len(self.repeated) < MOST_REPEATED:
                requests, most = self.repeated.get(one.statement, (0, 0))
                self.repeated[one.statement] = (requests + 1, max(most, one.count))

    def vital(self, name: str, value: float) -> None:
        """One browser's figure."""
        self.vitals.setdefault(name, LatencySketch()).record(value)

    def fill(self, metrics: ProfileMetrics) -> None:
        """Complete the metrics of a profile: estimates for all its requests from the sampled ones."""
        if self.usage is not None:
            metrics.resource_usage = self.usage()
        elif self.sampled:
            metrics.resource_usage = self._estimate(metrics.throughput.count)
        if self.vitals:
            shown = {name: sketch.quantile(0.75) for name, sketch in self.vitals.items()}
            metrics.user_experience = replace(metrics.user_experience, web_vitals=shown)

    def _estimate(self, requests: int) -> ResourceUsageMetrics:
        each = max(requests, self.sampled) / self.sampled
        return ResourceUsageMetrics(
            cpu_seconds=self.shares["cpu"] * each,
            database_seconds=self.shares["database"] * each,
            event_loop_lag=self.shares["loop_lag"] / self.sampled,
            sampled=self.sampled,
        )
