"""What a profile knows beside its requests: resources, attributed from samples, and browsers' own figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from perfmw.contracts.profiles import ProfileMetrics, ResourceUsageMetrics
from perfmw.profiles.breakdown import Breakdown
from perfmw.profiles.sketch import LatencySketch, SketchState

VITALS: Final = ("LCP", "INP", "CLS", "TTFB")
"""Largest Contentful Paint, Interaction to Next Paint and Time to First Byte in seconds; Cumulative Layout
Shift without a unit (web.dev/articles/vitals)."""
SHARES: Final = (
    "queueing", "cache", "app", "database", "integrations", "serialisation", "loop_lag", "other", "cpu",
)  # fmt: skip
USED: Final = ("memory_bytes", "io_bytes", "network_bytes")
MOST_REPEATED: Final = 20
ENOUGH_SAMPLES: Final = 5
"""So many sampled requests tell what a request of the target costs."""


class ExtrasState(msgspec.Struct, array_like=True):
    """``Extras`` as workers tell each other, and as they are kept."""

    sampled: int
    shares: list[float]
    used: list[int]
    repeated: dict[str, tuple[int, int]]
    vitals: dict[str, SketchState]


_decoder = msgspec.msgpack.Decoder(ExtrasState)


class Extras:
    """Made for the few profiles that have such figures."""

    __slots__ = ("repeated", "sampled", "shares", "told", "usage", "used", "vitals")

    def __init__(self) -> None:
        self.sampled = 0
        self.shares: dict[str, float] = dict.fromkeys(SHARES, 0.0)
        """Seconds of the sampled requests, by where they went."""
        self.used: dict[str, int] = dict.fromkeys(USED, 0)
        """Bytes of the sampled requests."""
        self.repeated: dict[str, tuple[int, int]] = {}
        """Statement -> requests that ran it again and again, and the most runs of one request."""
        self.usage: Callable[[], ResourceUsageMetrics] | None = None
        """For the profile of the process: what it used."""
        self.vitals: dict[str, LatencySketch] = {}
        self.told = 0
        """How many figures came from browsers."""

    def begin_anew(self) -> None:
        """Forget what was counted; it is kept elsewhere."""
        usage = self.usage
        self.__init__()  # type: ignore[misc]
        self.usage = usage

    @property
    def stamp(self) -> int:
        """Grows with everything that is counted."""
        return self.sampled + self.told

    def sample(self, breakdown: Breakdown) -> None:
        """Where one sampled request's time went, and what it used."""
        self.sampled += 1
        for name in SHARES:
            self.shares[name] += getattr(breakdown, name)
        for name in USED:
            self.used[name] += getattr(breakdown, name)
        for one in breakdown.repeated:
            self._repeat(one.statement, 1, one.count)

    def _repeat(self, statement: str, requests: int, most: int) -> None:
        if statement in self.repeated or len(self.repeated) < MOST_REPEATED:
            known, longest = self.repeated.get(statement, (0, 0))
            self.repeated[statement] = (known + requests, max(longest, most))

    def vital(self, name: str, value: float) -> None:
        """One browser's figure."""
        self.told += 1
        self.vitals.setdefault(name, LatencySketch()).record(value)

    def add(self, other: Extras) -> None:
        """Count what another worker counted as well."""
        self.sampled += other.sampled
        self.told += other.told
        for name in SHARES:
            self.shares[name] += other.shares[name]
        for name in USED:
            self.used[name] += other.used[name]
        for statement, (requests, most) in other.repeated.items():
            self._repeat(statement, requests, most)
        for name, sketch in other.vitals.items():
            self.vitals.setdefault(name, LatencySketch()).merge(sketch)

    def pack(self) -> bytes:
        """All that was counted, as bytes for ``unpack_extras``."""
        vitals = {name: sketch.state() for name, sketch in self.vitals.items()}
        shares, used = [self.shares[name] for name in SHARES], [self.used[name] for name in USED]
        return msgspec.msgpack.encode(ExtrasState(self.sampled, shares, used, self.repeated, vitals))

    def fill(self, metrics: ProfileMetrics) -> None:
        """Complete the metrics of a profile: estimates for all its requests from the sampled ones."""
        if self.usage is not None:
            metrics.resource_usage = self.usage()
        elif self.sampled:
            metrics.resource_usage = self._estimate(
                metrics.throughput.count, metrics.throughput.recent_per_second
            )
        if self.vitals:
            shown = {name: sketch.quantile(0.75) for name, sketch in self.vitals.items()}
            metrics.user_experience = replace(metrics.user_experience, web_vitals=shown)

    def utilization(self, rate: float) -> float | None:
        """The share of a core that ``rate`` requests a second keep busy; of the process, what it uses.

        None as long as too few requests were sampled.
        """
        if self.usage is not None:
            return self.usage().average
        return self.shares["cpu"] / self.sampled * rate if self.sampled >= ENOUGH_SAMPLES else None

    def _estimate(self, requests: int, rate: float) -> ResourceUsageMetrics:
        each = max(requests, self.sampled) / self.sampled
        busy = self.utilization(rate)
        return ResourceUsageMetrics(
            cpu_seconds=self.shares["cpu"] * each,
            cpu_utilization=busy,
            average=busy,
            memory_bytes=max(0, self.used["memory_bytes"]) // self.sampled,
            io_bytes=int(self.used["io_bytes"] * each),
            network_bytes=int(self.used["network_bytes"] * each),
            database_seconds=self.shares["database"] * each,
            event_loop_lag=self.shares["loop_lag"] / self.sampled,
            sampled=self.sampled,
        )


def unpack_extras(data: bytes) -> Extras:
    """What ``Extras.pack`` gave.

    :raises ValueError: the bytes are damaged.
    """
    state = _decoder.decode(data)
    if len(state.shares) != len(SHARES) or len(state.used) != len(USED):
        raise ValueError("these figures are of another release")
    extras = Extras()
    extras.sampled, extras.repeated = state.sampled, dict(state.repeated)
    extras.shares = dict(zip(SHARES, state.shares, strict=True))
    extras.used = dict(zip(USED, state.used, strict=True))
    extras.vitals = {name: LatencySketch.from_state(one) for name, one in state.vitals.items()}
    extras.told = sum(sketch.count for sketch in extras.vitals.values())
    return extras
