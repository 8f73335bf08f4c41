"""Simulated traffic for experiments: latencies on a level that wanders, pauses that come in clumps."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from perfmw.optimization.experiment import Block, Gates, Verdict, doubtful, judge, plan
from perfmw.optimization.guardrails import FAR, Guardrails, Usual, Window
from perfmw.optimization.trial import CONFIRMED, LONGEST, WATCHED, full

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


@dataclass(slots=True)
class Ran:
    """One simulated trial: what was decided, and after how many blocks with the change it was stopped."""

    verdict: Verdict
    stopped: str | None
    on_blocks: int
    blocks: int


def counted(on: bool, latencies: list[float], usual: Usual) -> Window:
    """What the engine counts."""
    count, median = len(latencies), sorted(latencies)[len(latencies) // 2]
    slow, late, far = (sum(it > limit for it in latencies) for limit in usual.limits(on, count, median))
    return Window(on, count, 0, slow, count, late=late, far=far)


@dataclass(slots=True)
class Simulated:
    """A trial as ``perfmw.optimization.trial`` makes it, whose blocks wait for ``wanted`` requests."""

    load: Load
    effect: Effect
    wanted: int
    gates: Gates
    blocks: list[Block] = field(default_factory=list)
    usual: Usual = field(init=False)
    rails: Guardrails = field(init=False)

    def __post_init__(self) -> None:
        past = sorted(seconds for _ in range(20) for seconds in self.load.window(unchanged))
        p99, p95, far, median = (past[int(share * len(past))] for share in (0.99, 0.95, FAR, 0.5))
        self.usual = Usual(p99, p95, far, median)
        counts = [sum(seconds > limit for seconds in past) for limit in (p99, p95, far)]
        self.rails = Guardrails(self.gates.limits, (len(past), counts[0], counts[1], counts[2]))

    def blamed(self, on: bool) -> str | None:
        """Why the trial has to stop, once a block without the change has confirmed it."""
        why = self.block(on)
        if why is None:
            return None
        self.block(False, asking=False)
        self.blocks.pop()
        if not self.rails.was_load():
            return why
        self.rails.forget()
        self.blocks[-1] = Block(on, 0, 0.0)
        return None

    def block(self, on: bool, *, asking: bool = True) -> str | None:
        """Why the trial has to stop."""
        self.load.window(unchanged)  # the head, which is not counted
        self.rails.begin(on)
        inside: list[float] = []
        why, measured = None, False
        for number in range(LONGEST * self.gates.windows):
            if full(number / self.gates.windows, len(inside), self.wanted):
                measured = measured or self._measured(on, inside)
                watched = self.on_blocks <= WATCHED and self.rails.undecided()
                if not (watched if asking else self.rails.was_load() is None):
                    break
            latencies = self.load.window(self.effect if on else unchanged)
            inside += latencies
            self.rails.see(counted(on, latencies, self.usual))
            if asking and (why := self.rails.alarm()) is not None:
                break
        else:
            why = None
        if not measured:
            self._measured(on, inside)
        return why

    def _measured(self, on: bool, inside: list[float]) -> bool:
        self.blocks.append(Block(on, len(inside), sum(inside) / len(inside)))
        return True

    @property
    def on_blocks(self) -> int:
        return sum(block.on for block in self.blocks)


def trial(load: Load, effect: Effect, blocks: int, seed: int, wanted: int = 0) -> Ran:
    gates = Gates()
    simulated, legs = Simulated(load, effect, wanted, gates), [blocks, *[blocks // 2] * CONFIRMED]
    for number, leg in enumerate(legs):
        why = next(filter(None, map(simulated.blamed, plan(leg, seed + number, gates))), None)
        verdict = judge(simulated.blocks, gates)
        if why is not None or not doubtful(verdict, gates):
            break
    else:
        verdict = replace(verdict, outcome="roll_back")
    return Ran(verdict, why, simulated.on_blocks, len(simulated.blocks))


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
