"""Simulated traffic for experiments: latencies on a level that wanders, pauses that come in clumps."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import cast

from perfmw.contracts import Controls, OptimizationOpportunity, OptimizationRequest, RuntimeSnapshot
from perfmw.optimization import EngineHost
from perfmw.optimization.experiment import Verdict
from perfmw.optimization.trial import Trial

MEDIAN, SPREAD = 0.05, 0.5
"""Seconds; the standard deviation of the logarithm of a request's latency."""
DEVIATES = array("d", map(Random("deviates").gauss, [0.0] * 100_000, [1.0] * 100_000))
"""Requests are stretches of these, from a random place on: to draw each takes ten times as long."""

Effect = Callable[[float, float], float]
"""(latency in seconds, its rank as a normal deviate) -> what the change makes of it."""


def unchanged(seconds: float, _deviate: float) -> float:
    return seconds


def faster(share: float) -> Effect:
    return lambda seconds, _deviate: seconds * (1 - share)


def slower(factor: float) -> Effect:
    return lambda seconds, _deviate: seconds * factor


def slower_tail(factor: float) -> Effect:
    """Only the slowest 5% are concerned."""
    return lambda seconds, deviate: seconds * factor if deviate > 1.645 else seconds


@dataclass(slots=True)
class Load:
    """Requests in windows. The level of latency is an autoregressive process with memory of about a block.

    :param wander: standard deviation of the level's logarithm.
    :param jitter: the same, of each window for itself.
    :param pauses: how probably a window has a pause that makes a run of requests slow.
    """

    random: Random
    rate: float = 100.0
    wander: float = 0.06
    jitter: float = 0.03
    pauses: float = 0.05
    memory: float = 0.8
    level: float = 0.0
    bumps: float = field(default=0.0)

    def window(self, effect: Effect) -> list[float]:
        gauss, exp = self.random.gauss, math.exp
        fresh = self.wander * math.sqrt(1 - self.memory**2)
        self.level = self.memory * self.level + gauss(0, fresh)
        median = MEDIAN * exp(self.level + gauss(0, self.jitter))
        count = max(1, round(self.rate * exp(gauss(0, 0.2))))
        found = [effect(median * exp(SPREAD * deviate), deviate) for deviate in self._deviates(count)]
        if self.random.random() < self.pauses:
            first = self.random.randrange(count)
            for place in range(first, min(count, first + 4)):
                found[place] += 0.2
        return found

    def _deviates(self, count: int) -> Sequence[float]:
        first = self.random.randrange(len(DEVIATES) - count)
        return DEVIATES[first : first + count]


class Exact(list[float]):
    """Latencies, and what a sketch tells of them."""

    def quantile(self, q: float) -> float | None:
        return sorted(self)[int(q * len(self))] if self else None

    def count_below(self, seconds: float) -> int:
        return sum(it <= seconds for it in self)

    merge = list.extend


@dataclass(frozen=True, slots=True)
class Seen:
    """The requests of a log between two places."""

    log: list[float]
    end: int
    begin: int = 0
    hits: int = 0
    errors: int = 0
    stale: int = 0

    @property
    def count(self) -> int:
        return self.end - self.begin

    @property
    def sketch(self) -> Exact:
        return Exact(self.log[self.begin : self.end])

    @property
    def seconds(self) -> float:
        return sum(self.log[self.begin : self.end])

    @property
    def traffic(self) -> Seen:
        return self

    def __sub__(self, earlier: Seen) -> Seen:
        return replace(self, begin=earlier.end)


@dataclass(slots=True)
class Simulated:
    """A host where a window of requests comes whenever somebody sleeps; and the change that is on trial."""

    load: Load
    effect: Effect
    log: list[float] = field(default_factory=list)
    now: Effect = unchanged
    name: str = "simulated"

    async def sleep(self, _seconds: float) -> None:
        self.log += self.load.window(self.now)

    def propose(self, _snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        return ()

    def apply(self, _opportunity: OptimizationOpportunity, _controls: Controls) -> None:
        self.now = self.effect

    def revert(self, _opportunity: OptimizationOpportunity, _controls: Controls) -> None:
        self.now = unchanged

    def host(self) -> EngineHost:
        return EngineHost(
            snapshot=lambda: RuntimeSnapshot(0.0, 0.0),
            reading=lambda _name: Seen(self.log, len(self.log)),
            controls=cast(Controls, None),
            ensure_profile=lambda _name, _kind: None,
            sleep=self.sleep,
        )


@dataclass(slots=True)
class Ran:
    """One simulated trial: what was decided, and after how many blocks with the change it was stopped."""

    verdict: Verdict
    on_blocks: int
    blocks: int

    @property
    def stopped(self) -> bool:
        return self.verdict.reason.startswith("stopped: ")


def trial(load: Load, effect: Effect, blocks: int, seed: int, wanted: int = 0) -> Ran:
    """A trial after twenty windows of traffic, whose blocks wait for ``wanted`` requests."""
    simulated = Simulated(load, effect, [seconds for _ in range(20) for seconds in load.window(unchanged)])
    opportunity = OptimizationOpportunity("change", "cache_route", "GET /x", "a change", simulated.name)
    request = OptimizationRequest(blocks=blocks, block_requests=wanted)
    running = Trial(simulated.host(), simulated, opportunity, request, seed, lambda _done, _planned: None)
    verdict = asyncio.run(running.run())
    return Ran(verdict, sum(block.on for block in running.blocks), len(running.blocks))


def correlated(random: Random, blocks: int, sigma: float = 0.15, correlation: float = 0.5) -> list[float]:
    """Levels whose logarithm has this standard deviation, and this correlation from block to block."""
    level = random.gauss(0, sigma)
    found = [level]
    for _ in range(blocks - 1):
        level = correlation * level + random.gauss(0, sigma * math.sqrt(1 - correlation**2))
        found.append(level)
    return found


def independent(random: Random, blocks: int) -> list[float]:
    return correlated(random, blocks, correlation=0.0)


def jump(random: Random, blocks: int) -> list[float]:
    """By half, up or down, at some moment."""
    at, height = random.randrange(1, blocks), random.choice((-1, 1)) * math.log(1.5)
    return [random.gauss(0, 0.1) + height * (place >= at) for place in range(blocks)]


def drift(random: Random, blocks: int) -> list[float]:
    """Part of a day's course: between two thirds and one and a half of the usual, and noise."""
    phase = random.uniform(0, math.tau)
    return [
        random.gauss(0, 0.05) + 0.4 * math.sin(phase + math.pi * place / blocks) for place in range(blocks)
    ]


def bursts(random: Random, blocks: int) -> list[float]:
    """One block in seven is much slower."""
    return [
        random.gauss(0, 0.08) + (random.expovariate(2) if random.random() < 0.15 else 0)
        for _ in range(blocks)
    ]


NOISES: dict[str, Callable[[Random, int], list[float]]] = {
    "independent": independent,
    "correlated": correlated,
    "jump": jump,
    "drift": drift,
    "bursts": bursts,
}
"""Logarithms of the level of latency in blocks where nothing was changed."""
