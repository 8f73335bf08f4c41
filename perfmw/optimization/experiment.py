"""Did a change help? A switchback: the change is on in some blocks of time and off in others, at random.

Before/after comparisons of live metrics mistake drift for effect. Here each pair of neighbouring blocks
has the change on in one and off in the other, in random order, and what is tested is the mean of the
pairs' differences of log mean latency (a paired t-test). Pure: nothing here waits or measures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from perfmw.optimization.guardrails import Limits
from perfmw.optimization.student import t_quantile

Outcome = Literal["keep", "roll_back", "not_enough_data"]


@dataclass(frozen=True, slots=True)
class Block:
    """What was measured in one block after its head: ``mean`` is the mean latency in seconds."""

    on: bool
    requests: int
    mean: float


@dataclass(frozen=True, slots=True)
class Gates:
    """What it takes to keep a change, and to stop one early.

    ``min_effect``: smallest relative change of mean latency worth keeping.
    ``confidence``: of the two-sided interval, which must lie wholly on the good side.
    ``head``: share of a block that is discarded after a switch; ``windows``: how often the rest of it is
    looked at, for the guardrails, whose limits are ``limits``; ``tail_requests``: the fewest that have a p99.
    """

    min_effect: float = 0.10
    confidence: float = 0.99
    min_pairs: int = 3
    min_requests: int = 5
    head: float = 0.25
    windows: int = 4
    tail_requests: int = 200
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``improvement`` 0.3 means 30% faster; None when it could not be estimated."""

    outcome: Outcome
    reason: str
    pairs: int = 0
    improvement: float | None = None
    interval: tuple[float, float] | None = None


def plan(blocks: int, seed: int, gates: Gates | None = None) -> tuple[bool, ...]:
    """On (True) and off blocks: pairs in random order, at least as many as a verdict needs."""
    wanted = max((blocks + 1) // 2, (gates or Gates()).min_pairs)
    random = Random(seed)
    firsts = [random.random() < 0.5 for _ in range(wanted)]
    return tuple(state for first in firsts for state in (first, not first))


def judge(blocks: Sequence[Block], gates: Gates | None = None) -> Verdict:
    """The verdict on a finished experiment. Blocks that hold too few requests drop their pair."""
    gates = gates or Gates()
    differences = _differences(blocks, gates)
    pairs = len(differences)
    if pairs < gates.min_pairs:
        wanted = f"{gates.min_pairs} pairs of blocks with at least {gates.min_requests} requests each"
        return Verdict("not_enough_data", f"needs {wanted}, had {pairs}", pairs)
    mean, margin = _interval(differences, gates.confidence)
    improvement = -math.expm1(mean)
    interval = (-math.expm1(mean + margin), -math.expm1(mean - margin))
    outcome, reason = _decide(improvement, interval, gates)
    return Verdict(outcome, reason, pairs, improvement, interval)


def _differences(blocks: Sequence[Block], gates: Gates) -> list[float]:
    found = []
    for first, second in zip(blocks[0::2], blocks[1::2], strict=False):
        usable = min(first.requests, second.requests) >= gates.min_requests
        if usable and first.on != second.on and min(first.mean, second.mean) > 0:
            on, off = (first, second) if first.on else (second, first)
            found.append(math.log(on.mean) - math.log(off.mean))
    return found


def _interval(differences: Sequence[float], confidence: float) -> tuple[float, float]:
    """Mean and half-width of the t interval."""
    n = len(differences)
    mean = math.fsum(differences) / n
    variance = math.fsum((value - mean) ** 2 for value in differences) / (n - 1)
    return mean, t_quantile((1 + confidence) / 2, n - 1) * math.sqrt(variance / n)


def _decide(improvement: float, interval: tuple[float, float], gates: Gates) -> tuple[Outcome, str]:
    low, high = interval
    said = f"{improvement:+.0%} [{low:+.0%}, {high:+.0%}]"
    if low > 0 and improvement >= gates.min_effect:
        return "keep", f"mean latency improved by {said}"
    if high < 0 and improvement <= -gates.min_effect:
        return "roll_back", f"mean latency got worse: {said}"
    if low > 0:
        return "roll_back", f"the gain of {said} is below the {gates.min_effect:.0%} worth keeping"
    return "roll_back", f"no proven gain: {said}"
