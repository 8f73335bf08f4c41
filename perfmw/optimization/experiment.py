"""Did a change help? A switchback: the change is on in some blocks of time and off in others, at random.

Before/after comparisons of live metrics mistake drift for effect. Here each pair of neighbouring blocks
has the change on in one and off in the other, in random order, and what is tested is the mean of the
pairs' differences of log mean latency (a paired t-test). Pure: nothing here waits or measures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from perfmw.optimization.student import t_quantile

Outcome = Literal["keep", "roll_back", "not_enough_data"]


@dataclass(frozen=True, slots=True)
class Block:
    """What was measured in one block after its head: seconds are means and quantiles of latency."""

    on: bool
    requests: int
    mean: float
    errors: int = 0
    p99: float = 0.0


@dataclass(frozen=True, slots=True)
class Gates:
    """What it takes to keep a change, and to stop one early.

    ``min_effect``: smallest relative change of mean latency worth keeping.
    ``confidence``: of the two-sided interval, which must lie wholly on the good side.
    ``head``: share of a block that is discarded after a switch.
    """

    min_effect: float = 0.10
    confidence: float = 0.98
    min_pairs: int = 3
    min_requests: int = 5
    head: float = 0.25
    error_alpha: float = 0.001
    error_margin: float = 0.01
    p99_ratio: float = 1.3
    p99_requests: int = 200


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


def guard(blocks: Sequence[Block], gates: Gates | None = None) -> str | None:
    """Why the experiment must stop now, or None. To be asked after each block."""
    gates = gates or Gates()
    return _more_errors(blocks, gates) or _slower_tail(blocks, gates)


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


def _more_errors(blocks: Sequence[Block], gates: Gates) -> str | None:
    on, off = _totals(blocks, True), _totals(blocks, False)
    # half an error more on the side without the change keeps an error-free past from being certainty
    usual = (off[1] + 0.5) / (off[0] + 1)
    seen = on[1] / on[0] if on[0] else 0.0
    if seen <= usual + gates.error_margin or _tail(on[1], on[0] * usual) >= gates.error_alpha:
        return None
    return f"errors rose to {seen:.1%} of requests from {off[1] / off[0] if off[0] else 0.0:.1%}"


def _totals(blocks: Sequence[Block], on: bool) -> tuple[int, int]:
    side = [block for block in blocks if block.on is on]
    return sum(block.requests for block in side), sum(block.errors for block in side)


def _tail(events: int, expected: float) -> float:
    """P(X >= events) for a Poisson X; by the normal approximation where the sum would underflow."""
    if expected > 200:
        return 0.5 * math.erfc((events - 0.5 - expected) / math.sqrt(2 * expected))
    term = below = math.exp(-expected)
    for k in range(1, events):
        term *= expected / k
        below += term
    return max(0.0, 1.0 - below) if events else 1.0


def _slower_tail(blocks: Sequence[Block], gates: Gates) -> str | None:
    """The last two blocks with the change both have a p99 well beyond any block's without it."""
    off = [block.p99 for block in blocks if not block.on and block.requests >= gates.p99_requests]
    on = [block.p99 for block in blocks if block.on and block.requests >= gates.p99_requests][-2:]
    if min(len(off), len(on)) < 2 or min(on) <= gates.p99_ratio * max(off):
        return None
    return f"p99 rose to {min(on) * 1000:.1f} ms from {max(off) * 1000:.1f} ms"
