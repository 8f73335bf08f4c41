"""What a profile knows beside its requests: resources, attributed from samples, and browsers' own figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from perfmw.contracts.profiles import ProfileMetrics, ResourceUsageMetrics
from perfmw.profiles.sketch import LatencySketch

VITALS: Final = ("LCP", "INP", "CLS", "TTFB")
"""Largest Contentful Paint, Interaction to Next Paint and Time to First Byte in seconds; Cumulative Layout
Shift without a unit (web.dev/articles/vitals)."""


class Extras:
    """Made for the few profiles that have such figures."""

    __slots__ = ("cpu_seconds", "database_seconds", "lag_seconds", "sampled", "usage", "vitals")

    def __init__(self) -> None:
        self.sampled = 0
        self.cpu_seconds = self.database_seconds = self.lag_seconds = 0.0
        self.usage: Callable[[], ResourceUsageMetrics] | None = None
        """For the profile of the process: what it used."""
        self.vitals: dict[str, LatencySketch] = {}

    def sample(self, cpu_seconds: float, database_seconds: float, lag_seconds: float) -> None:
        """One sampled request's share of the process, in seconds."""
        self.sampled += 1
        self.cpu_seconds += cpu_seconds
        self.database_seconds += database_seconds
        self.lag_seconds += lag_seconds

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
            cpu_seconds=self.cpu_seconds * each,
            database_seconds=self.database_seconds * each,
            event_loop_lag=self.lag_seconds / self.sampled,
            sampled=self.sampled,
        )
