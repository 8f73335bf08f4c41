"""Did a change help? A switchback: the change is on in some blocks of time and off in others, at random.

Before/after comparisons of live metrics mistake drift for effect. Here each pair of neighbouring blocks
has the change on in one and off in the other, and what is tested is the effect on log mean latency, on a
level that wanders from block to block (see effect). Pure: nothing here waits or measures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from statistics import fmean, variance
from typing import Literal

from perfmw.optimization.effect import effect_of
from perfmw.optimization.guardrails import Limits
from perfmw.optimization.student import t_quantile

FOR_KEEPING = 0.75
"""The share of the error probability that is spent on keeping what does nothing. What is not proven is rolled
back as well as what is called worse, so that nothing hangs on being sure of the latter.
"""
Outcome = Literal["keep", "roll_back", "not_enough_data"]


@dataclass(frozen=True, slots=True)
class Block:
    """What was measured in one block after its head: ``mean`` is the mean latency in seconds.

    ``control``: the mean latency, in the same block, of requests that the change does not concern; None
    where there were too few. ``hits``: of the requests, those answered from the cache.
    """

    on: bool
    requests: int
    mean: float
    control: float | None = None
    hits: int = 0


@dataclass(frozen=True, slots=True)
class Gates:
    """What it takes to keep a change, and to stop one early.

    ``min_effect``: smallest relative change of mean latency worth keeping.
    ``confidence``: of the interval, which must lie wholly on the good side; its ends are as improbable as
    ``FOR_KEEPING`` divides them.
    ``head``: share of a block that is discarded after a switch; ``windows``: how often the rest of it is
    looked at, for the guardrails, whose limits are ``limits``; ``tail_requests``: the fewest that have a p99.
    ``doubt``: how improbable it must be that the truth has the other sign, before anything is claimed: a gain
    in the interval that is less sure than that is a reason to go on (see Trial), not to keep.
    ``min_d``: smallest effect size (Cohen's d) of a change that could only be measured before and after.
    ``soft``: a share of the mean latency that is added to each block's before its logarithm is taken: what is
    answered in no time by a cache would else weigh by how near to nothing it comes.
    ``fewer_hits``: the share of the requests that may miss for a change that is kept for what it spares.
    """

    min_effect: float = 0.10
    confidence: float = 0.99
    doubt: float = 0.0004
    min_pairs: int = 3
    min_requests: int = 5
    head: float = 0.25
    windows: int = 4
    tail_requests: int = 200
    limits: Limits = field(default_factory=Limits)
    min_d: float = 0.8
    soft: float = 0.25
    fewer_hits: float = 0.02


@dataclass(frozen=True, slots=True)
class Verdict:
    """``improvement`` 0.3 means 30% faster; None when it could not be estimated.

    ``doubt``: how probable it is that the truth has the other sign, so 0.5 at most. ``open``: with more
    blocks it may turn out well.
    """

    outcome: Outcome
    reason: str
    pairs: int = 0
    improvement: float | None = None
    interval: tuple[float, float] | None = None
    doubt: float = 0.5
    open: bool = False


def plan(blocks: int, seed: int, gates: Gates | None = None, *, alone: bool = True) -> tuple[bool, ...]:
    """On (True) and off blocks: pairs, at least as many as a verdict needs.

    They alternate, which tells an effect best from a level that wanders, and for half of the pairs, from one
    that is drawn on and round the end, the order within pairs is turned round: what comes with every other
    block, such as a job each twenty seconds, is then as often on as off. In a trial that is not ``alone`` it
    is drawn which half of the pairs: else several would have much the same blocks, and take each other's
    effect for theirs.
    """
    wanted, random = max((blocks + 1) // 2, (gates or Gates()).min_pairs), Random(seed)
    turned, start = random.random() < 0.5, random.randrange(wanted)
    firsts = [((number + start) % wanted < wanted // 2) is turned for number in range(wanted)]
    if not alone:
        random.shuffle(firsts)
    return tuple(state for on in firsts for state in (on, not on))


def plan_once(blocks: int, gates: Gates | None = None) -> tuple[bool, ...]:
    """For a change that can not be switched to and fro: half of the blocks before it, half after."""
    half = max((blocks + 1) // 2, (gates or Gates()).min_pairs)
    return (*(False,) * half, *(True,) * half)


def judge_once(blocks: Sequence[Block], gates: Gates | None = None) -> Verdict:
    """The verdict before/after, on the latency beside that of the control, which had the same load.

    It takes more than a switchback: the interval (Welch's t), the effect, and its size in standard deviations
    of a block. Without a control in every block there is no verdict.
    """
    gates = gates or Gates()
    before, after = _beside_control(blocks, False, gates), _beside_control(blocks, True, gates)
    few = min(len(before), len(after))
    if few < gates.min_pairs:
        wanted = f"{gates.min_pairs} blocks before and after, with a control beside"
        return Verdict("not_enough_data", f"needs {wanted}, had {few}", few)
    mean = fmean(after) - fmean(before)
    spread = math.sqrt((variance(before) + variance(after)) / 2)
    error = math.sqrt(variance(before) / len(before) + variance(after) / len(after))
    margin = t_quantile((1 + gates.confidence) / 2, few - 1) * error
    improvement, interval = -math.expm1(mean), (-math.expm1(mean + margin), -math.expm1(mean - margin))
    outcome, reason = _decide(improvement, interval, gates)
    if outcome == "keep" and abs(mean) < gates.min_d * spread:
        outcome, reason = "roll_back", f"too small beside the noise of a block: {reason}"
    return Verdict(outcome, reason, few, improvement, interval)


def _beside_control(blocks: Sequence[Block], on: bool, gates: Gates) -> list[float]:
    return [
        math.log(block.mean / block.control)
        for block in blocks
        if block.on is on and block.requests >= gates.min_requests and block.mean > 0 and block.control
    ]


def judge(blocks: Sequence[Block], gates: Gates | None = None) -> Verdict:
    """The verdict on a finished experiment. Blocks that hold too few requests drop their pair."""
    gates = gates or Gates()
    used = _usable(blocks, gates)
    pairs = len(used) // 2
    if pairs < gates.min_pairs:
        wanted = f"{gates.min_pairs} pairs of blocks with at least {gates.min_requests} requests each"
        return Verdict("not_enough_data", f"needs {wanted}, had {pairs}", pairs)
    soft = gates.soft * fmean(block.mean for block in used)
    usual = fmean(block.mean for block in used if not block.on)
    effect = effect_of([math.log(block.mean + soft) for block in used], [block.on for block in used])
    mean = effect.mean
    error = 1 - gates.confidence
    low, high = effect.quantile((1 - FOR_KEEPING) * error), effect.quantile(1 - FOR_KEEPING * error)
    improvement = _improvement(mean, soft, usual)
    interval = (_improvement(high, soft, usual), _improvement(low, soft, usual))
    faster = effect.below(0.0)
    doubt = min(faster, 1 - faster)
    outcome, reason = _decide(improvement, interval, gates, doubt)
    return Verdict(outcome, reason, pairs, improvement, interval, doubt)


def judge_sparing(blocks: Sequence[Block], gates: Gates | None = None) -> Verdict:
    """The same of a change that spares something else than time: kept where it is proven to do no harm.

    Slower by less than ``min_effect`` is no slower, as faster by less is not worth keeping. Where latency
    swings, the share of hits tells sooner, which is all that a smaller memory can harm: where that is proven
    to be as high, but for ``fewer_hits``, the latency need only not be proven worse.
    """
    gates = gates or Gates()
    found = judge(blocks, gates)
    if found.improvement is None or found.interval is None:
        return found
    said = f"{found.improvement:+.0%} [{found.interval[0]:+.0%}, {found.interval[1]:+.0%}]"
    if found.interval[0] > -gates.min_effect:
        return replace(found, outcome="keep", reason=f"not slower, mean latency improved by {said}")
    lost = _hits_lost(_usable(blocks, gates), gates)
    if lost is not None and lost < gates.fewer_hits and found.interval[1] > -gates.min_effect:
        reason = f"at most {max(lost, 0.0):.1%} of the requests fewer hit; mean latency improved by {said}"
        return replace(found, outcome="keep", reason=reason)
    may, reason = found.improvement > -gates.min_effect, f"it may be slower: mean latency improved by {said}"
    return replace(found, outcome="roll_back", reason=reason, open=may)


def _hits_lost(blocks: Sequence[Block], gates: Gates) -> float | None:
    """The upper end of the interval of what it takes off the share of hits; None where nothing hits."""
    if not any(block.hits for block in blocks):
        return None
    missed = [1.0 - block.hits / block.requests for block in blocks]
    effect = effect_of(missed, [block.on for block in blocks])
    return effect.quantile(1 - FOR_KEEPING * (1 - gates.confidence))


def doubtful(verdict: Verdict, gates: Gates | None = None) -> bool:
    """Whether a gain seems to be one, and is not sure enough to be kept without more blocks."""
    return verdict.outcome == "keep" and verdict.doubt > (gates or Gates()).doubt


def _improvement(difference: float, soft: float, usual: float) -> float:
    """What a difference of softened logarithms means for a mean latency of ``usual``; 1.0 at most."""
    with_change = math.exp(min(difference, 50.0)) * (usual + soft) - soft
    return min(1.0, 1 - with_change / usual)


def _usable(blocks: Sequence[Block], gates: Gates) -> list[Block]:
    """The blocks of pairs that can be compared, in order."""
    found: list[Block] = []
    for first, second in zip(blocks[0::2], blocks[1::2], strict=False):
        enough = min(first.requests, second.requests) >= gates.min_requests
        if enough and first.on != second.on and min(first.mean, second.mean) > 0:
            found += (first, second)
    return found


def _decide(
    improvement: float, interval: tuple[float, float], gates: Gates, doubt: float = 0.0
) -> tuple[Outcome, str]:
    low, high = interval
    said = f"{improvement:+.0%} [{low:+.0%}, {high:+.0%}]"
    if low > 0 and improvement >= gates.min_effect:
        return "keep", f"mean latency improved by {said}"
    if high < 0 and improvement <= -gates.min_effect and doubt <= gates.doubt:
        return "roll_back", f"mean latency got worse: {said}"
    if low > 0:
        return "roll_back", f"the gain of {said} is below the {gates.min_effect:.0%} worth keeping"
    return "roll_back", f"no proven gain: {said}"
