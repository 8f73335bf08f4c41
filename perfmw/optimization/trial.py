"""One change on trial: switched on and off on live traffic, and measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from perfmw.contracts import Measurement, OptimizationOpportunity, OptimizationRequest, Optimizer
from perfmw.optimization.experiment import Block, Gates, Verdict, guard, judge, plan
from perfmw.optimization.host import EngineHost, ReadingLike, SketchLike


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
    blocks: list[Block] = field(default_factory=list)
    measured: list[tuple[bool, ReadingLike]] = field(default_factory=list)

    async def run(self) -> Verdict:
        """Leaves the change on or off as the last block had it: the caller settles it."""
        planned = plan(self.request.blocks, self.seed, self.gates)
        for done, on in enumerate(planned):
            self.progress(done, len(planned))
            self.switch(on)
            await self._measure(on)
            stop = guard(self.blocks, self.gates)
            if stop:
                return _stopped(stop, judge(self.blocks, self.gates))
        self.progress(len(planned), len(planned))
        return judge(self.blocks, self.gates)

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
        return _measurement(readings) if readings else None

    async def _measure(self, on: bool) -> None:
        head = self.request.block_seconds * self.gates.head
        await self.host.sleep(head)
        before = self.host.reading(self.opportunity.target)
        await self.host.sleep(self.request.block_seconds - head)
        seen = self.host.reading(self.opportunity.target) - before
        self.measured.append((on, seen))
        self.blocks.append(_block(on, seen))


def _stopped(reason: str, judged: Verdict) -> Verdict:
    return Verdict("roll_back", f"stopped: {reason}", judged.pairs, judged.improvement, judged.interval)


def _together(sketches: Sequence[SketchLike]) -> SketchLike | None:
    for other in sketches[1:]:
        sketches[0].merge(other)
    return sketches[0] if sketches else None


def _block(on: bool, seen: ReadingLike) -> Block:
    count = max(seen.count, 0)
    mean = seen.seconds / count if count else 0.0
    return Block(on, count, mean, seen.errors, _quantile(seen, 0.99))


def _quantile(seen: ReadingLike, q: float) -> float:
    return (seen.sketch.quantile(q) or 0.0) if seen.count > 0 else 0.0


def _measurement(readings: Sequence[ReadingLike]) -> Measurement:
    count = sum(reading.count for reading in readings)
    hits = sum(reading.hits for reading in readings)
    sketch = _together([reading.sketch for reading in readings if reading.count > 0])
    return Measurement(
        requests=count,
        mean=sum(reading.seconds for reading in readings) / count if count else 0.0,
        p50=(sketch.quantile(0.5) or 0.0) if sketch else 0.0,
        p95=(sketch.quantile(0.95) or 0.0) if sketch else 0.0,
        error_rate=sum(reading.errors for reading in readings) / count if count else 0.0,
        hit_rate=hits / count if count else 0.0,
        origin_calls=count - hits,
    )
