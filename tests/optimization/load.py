"""Simulated traffic for experiments: latencies on a level that wanders, pauses that come in clumps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from perfmw.optimization.experiment import Block, Gates, Verdict, judge, plan
from perfmw.optimization.guardrails import Guardrails, Window
from perfmw.optimization.trial import LEAST_FOR_MEDIAN, MOST_MOVED

MEDIAN, SPREAD = 0.05, 0.5
"""Seconds; the standard deviation of the logarithm of a request's latency."""
WINDOWS = 4

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

    def _deviates(self, count: int) -> list[float]:
        return [self.random.gauss(0, 1) for _ in range(count)]


@dataclass(slots=True)
class Ran:
    """One simulated trial: what was decided, and after how many blocks with the change it was stopped."""

    verdict: Verdict
    stopped: str | None
    on_blocks: int
    blocks: int


def counted(on: bool, latencies: list[float], limits: tuple[float, float], usual: float) -> Window:
    """What the engine counts: ``limits`` are the usual p99 and p95, ``usual`` the usual median."""
    count, p99 = len(latencies), limits[0]
    moved = sorted(latencies)[count // 2] / usual if count >= LEAST_FOR_MEDIAN else 1.0
    moved = min(max(moved, 1.0 if on else 1 / MOST_MOVED), MOST_MOVED)
    slow, late, far = (sum(it > limit for it in latencies) for limit in (*limits, p99 * moved))
    return Window(on, count, 0, slow, count, late=late, far=far)


def trial(load: Load, effect: Effect, blocks: int, seed: int, gates: Gates | None = None) -> Ran:
    gates = gates or Gates()
    past = sorted(seconds for _ in range(20) for seconds in load.window(unchanged))
    limits = past[int(0.99 * len(past))], past[int(0.95 * len(past))]
    usual = past[len(past) // 2]
    slow, late = (sum(seconds > limit for seconds in past) for limit in limits)
    rails = Guardrails(gates.limits, (len(past), slow, late))
    seen: list[Block] = []
    for place, on in enumerate(plan(blocks, seed, gates), 1):
        load.window(unchanged)  # the head, which is not counted
        inside: list[float] = []
        for _ in range(WINDOWS):
            latencies = load.window(effect if on else unchanged)
            inside += latencies
            rails.see(counted(on, latencies, limits, usual))
            if (why := rails.alarm()) is not None:
                begun = sum(block.on for block in seen) + on
                return Ran(judge(seen, gates), why, begun, place)
        seen.append(Block(on, len(inside), sum(inside) / len(inside)))
    return Ran(judge(seen, gates), None, sum(block.on for block in seen), len(seen))


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
