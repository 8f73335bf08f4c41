"""One change on trial: switched on and off on live traffic, and measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

from perfmw.contracts import Measurement, OptimizationOpportunity, OptimizationRequest, Optimizer
from perfmw.optimization.experiment import (
    Block,
    Gates,
    Verdict,
    doubtful,
    judge,
    judge_once,
    judge_sparing,
    plan,
    plan_once,
)
from perfmw.optimization.guardrails import FAR, Guardrails, Usual, Window
from perfmw.optimization.host import EVERYTHING, EngineHost, ReadingLike, SketchLike

MOST_LONGER = 4
"""How many times as long a block may take to have its requests."""
LONGEST = 8
"""The same, for guardrails that can not tell yet whether it is harm or load."""
WATCHED = 2
"""Blocks with the change: up to the end of the last of them, and of the block after it, blocks go on while
guardrails can not tell."""
SLOWEST, STRETCHED, REQUESTS_FOR_SLOWEST = 0.995, 1.25, 1_000
"""A change is not kept that makes this quantile of all blocks so many times what it is without, of so many
requests on either side.
"""
CONFIRMED = 3
"""How often a gain that is not sure yet gets half as many blocks again."""


@dataclass(slots=True)
class Trial:
    """The switchback of one opportunity. ``measured`` holds each block as it was read.

    ``progress`` is called with the number of blocks done and the number planned.
    """

    host: EngineHost
    optimizer: Optimizer
    opportunity: OptimizationOpportunity
    request: OptimizationRequest
    seed: int
    progress: Callable[[int, int], None]
    gates: Gates = field(default_factory=Gates)
    on: bool = False
    standing: bool = False
    """It was kept before, and is on trial again: without enough traffic it stays."""
    blocks: list[Block] = field(default_factory=list)
    measured: list[tuple[bool, ReadingLike]] = field(default_factory=list)
    rails: Guardrails = field(default_factory=Guardrails)
    usual: Usual | None = None
    """None before it is known."""

    async def run(self) -> Verdict:
        """Leaves the change on or off as the last block had it: the caller settles it."""
        self.rails = Guardrails(self.gates.limits)
        self._learn_tail(self.host.reading(self.opportunity.target))
        verdict = await self._blocks(self.request.blocks, 0)
        for again in range(CONFIRMED):
            if self._sure(verdict):
                break
            verdict = await self._blocks(self.request.blocks // 2, again + 1)
        if not self._sure(verdict):
            return replace(verdict, outcome="roll_back", reason=f"not sure enough: {verdict.reason}")
        harm = (self._stretched() or self._hits_less()) if verdict.outcome == "keep" else None
        return replace(verdict, outcome="roll_back", reason=harm) if harm else verdict

    def _stretched(self) -> str | None:
        """Why the slowest are worse off. As long as they are no more than before, no guardrail sees it."""
        seen = [[reading for state, reading in self.measured if state is on] for on in (False, True)]
        if min(sum(reading.count for reading in side) for side in seen) < REQUESTS_FOR_SLOWEST:
            return None
        pooled = (_together([reading.sketch for reading in side if reading.count > 0]) for side in seen)
        off, on = ((sketch.quantile(SLOWEST) or 0.0) if sketch else 0.0 for sketch in pooled)
        if on <= STRETCHED * off:
            return None
        return f"the slowest {1 - SLOWEST:.1%} take {on / off - 1:.0%} longer" if off else None

    def _hits_less(self) -> str | None:
        """Why what is kept for what it spares costs hits: a latency says little of what is missed seldom."""
        off, on = self.side(on=False), self.side(on=True)
        if not self.opportunity.spares or off is None or on is None:
            return None
        few = min(off.requests, on.requests) < REQUESTS_FOR_SLOWEST
        if few or on.hit_rate >= off.hit_rate - self.gates.fewer_hits:
            return None
        return f"{on.hit_rate:.1%} of the requests hit, and {off.hit_rate:.1%} without it"

    def _sure(self, verdict: Verdict) -> bool:
        """What was proven before, or can only be measured once, is not asked for more."""
        if self.standing or not self.opportunity.toggles:
            return True
        return not verdict.open if self.opportunity.spares else not doubtful(verdict, self.gates)

    async def _blocks(self, blocks: int, leg: int) -> Verdict:
        """The verdict on these blocks and those before."""
        toggles, done = self.opportunity.toggles, len(self.blocks)
        usual = judge_sparing if self.opportunity.spares else judge
        decide, alone = usual if toggles else judge_once, self.request.at_once == 1
        order = (
            plan(blocks, self.seed + leg, self.gates, alone=alone)
            if toggles
            else plan_once(blocks, self.gates)
        )
        planned = done + len(order)
        for number, on in enumerate(order):
            self.progress(done + number, planned)
            self.switch(on)
            stop = await self._measure(on)
            if stop and await self._confirmed(on):
                return _stopped(stop, decide(self.blocks, self.gates))
        self.progress(planned, planned)
        return decide(self.blocks, self.gates)

    def switch(self, on: bool) -> None:
        if on and not self.on:
            # known to be on before it is: if applying fails half-way it must still be reverted
            self.on = True
            self.optimizer.apply(self.opportunity, self.host.controls)
        elif not on and self.on:
            self.optimizer.revert(self.opportunity, self.host.controls)
            self.on = False

    def side(self, on: bool) -> Measurement | None:
        """All blocks of one side together; None before there is one."""
        readings = [reading for state, reading in self.measured if state is on]
        return _measurement(readings, self.rails.memory(on)) if readings else None

    async def _confirmed(self, on: bool) -> bool:
        """Whether what raised an alarm goes without the change.

        One more block tells, which counts for that alone; where it does not go, the latest block with the
        change counts for nothing, nor the pair of the one that was cut short.
        """
        if not self.opportunity.toggles:
            return True
        self.switch(False)
        await self._measure(False, asking=False)
        self.blocks.pop()
        self.measured.pop()
        if not self.rails.was_load():
            return True
        self.rails.forget()
        del self.measured[max(place for place, (state, _) in enumerate(self.measured) if state)]
        self.blocks[-1] = Block(on, 0, 0.0)  # keeps its place, so that pairs stay pairs
        return False

    async def _measure(self, on: bool, *, asking: bool = True) -> str | None:
        """One block, its head discarded; why the trial has to stop, which is asked several times a block."""
        target, gates = self.opportunity.target, self.gates
        head = self.request.block_seconds * gates.head
        await self.host.sleep(head)
        self.rails.begin(on)
        began = before = self.host.reading(target)
        others = self._others()
        stop, measured = None, False
        for number in range(LONGEST * gates.windows):
            if full(number / gates.windows, before.count - began.count, self.request.block_requests):
                if not measured:
                    self._measured(on, before - began, others)
                    measured = True  # what follows is for the guardrails: it would bias the verdict
                if not (self._watches() if asking else self.rails.was_load() is None):
                    break
            await self.host.sleep((self.request.block_seconds - head) / gates.windows)
            now = self.host.reading(target)
            self.rails.see(self._window(on, now - before))
            before, stop = now, self.rails.alarm() if asking else None
            if stop:
                break
        if not measured:
            self._measured(on, before - began, others)
        return stop

    def _watches(self) -> bool:
        """Whether the block that was measured last has to go on for the guardrails' sake."""
        return sum(block.on for block in self.blocks) <= WATCHED and self.rails.undecided()

    def _measured(self, on: bool, seen: ReadingLike, others: ReadingLike | None) -> None:
        self.measured.append((on, seen))
        self.blocks.append(_block(on, seen, _control(others, self._others(), seen, self.gates.min_requests)))
        if not on and self.usual is None:
            self._learn_tail(seen)

    def _window(self, on: bool, seen: ReadingLike) -> Window:
        count, slow, late, far = max(seen.count, 0), 0, 0, 0
        if self.usual is not None and count:
            limits = self.usual.limits(on, count, seen.sketch.quantile(0.5) or 0.0)
            slow, late, far = (count - seen.sketch.count_below(limit) for limit in limits)
        timed = count if self.usual is not None else 0
        # a change that has old answers serve for a while is not stopped for doing so
        behind = self.opportunity.parameters.get("stale_while_revalidate", 0.0)
        stale = 0 if behind else seen.traffic.stale
        return Window(on, count, seen.errors, slow, timed, stale, self.host.memory(), late, far)

    def _others(self) -> ReadingLike | None:
        """All requests, as the control of a change of one route that can not be toggled."""
        if self.opportunity.toggles or self.opportunity.target == EVERYTHING:
            return None
        return self.host.reading(EVERYTHING)

    def _learn_tail(self, past: ReadingLike) -> None:
        """What is slow is what was slow before; where little came before, in the first block without it."""
        if past.count >= self.gates.tail_requests:
            sketch = past.sketch
            self.usual = usual = Usual(*(sketch.quantile(q) or 0.0 for q in (0.99, 0.95, FAR, 0.5)))
            slow, late, far = (
                past.count - sketch.count_below(limit) for limit in (usual.p99, usual.p95, usual.far)
            )
            self.rails.reference(past.count, slow, late, far)


def full(lengths: float, requests: int, wanted: int) -> bool:
    """Whether a block that took so many times its length, and had so many requests, is measured."""
    return lengths >= MOST_LONGER or (lengths >= 1.0 and requests >= wanted)


def _stopped(reason: str, judged: Verdict) -> Verdict:
    return Verdict("roll_back", f"stopped: {reason}", judged.pairs, judged.improvement, judged.interval)


def _together(sketches: Sequence[SketchLike]) -> SketchLike | None:
    if not sketches:
        return None
    whole = deepcopy(sketches[0])
    for other in sketches[1:]:
        whole.merge(other)
    return whole


def _control(
    before: ReadingLike | None, after: ReadingLike | None, seen: ReadingLike, least: int
) -> float | None:
    """Mean latency of all requests but those of the target; None where they were fewer than ``least``."""
    if before is None or after is None:
        return None
    count = after.count - before.count - seen.count
    return (after.seconds - before.seconds - seen.seconds) / count if count >= least else None


def _block(on: bool, seen: ReadingLike, control: float | None) -> Block:
    count = max(seen.count, 0)
    return Block(on, count, seen.seconds / count if count else 0.0, control, seen.hits)


def _measurement(readings: Sequence[ReadingLike], memory: int | None) -> Measurement:
    count = sum(reading.count for reading in readings)
    hits = sum(reading.hits for reading in readings)
    sketch = _together([reading.sketch for reading in readings if reading.count > 0])
    return Measurement(
        requests=count,
        mean=sum(reading.seconds for reading in readings) / count if count else 0.0,
        p50=(sketch.quantile(0.5) or 0.0) if sketch else 0.0,
        p95=(sketch.quantile(0.95) or 0.0) if sketch else 0.0,
        p99=(sketch.quantile(0.99) or 0.0) if sketch else 0.0,
        error_rate=sum(reading.errors for reading in readings) / count if count else 0.0,
        hit_rate=hits / count if count else 0.0,
        origin_calls=count - hits,
        stale_rate=sum(reading.traffic.stale for reading in readings) / count if count else None,
        memory=memory,
    )
