"""What if the cache were larger, smaller, had another policy or another lifetime? Tried on the last reads.

``rehearse`` is pure, and takes a good part of a second, so it runs in a thread and only when asked for.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from perfmw.cache.simulation import simulate
from perfmw.dashboard.answers import Answers
from perfmw.dashboard.charts import Chart, chart
from perfmw.dashboard.problems import ProblemError
from perfmw.learning import rehearse_ttl
from perfmw.runtime.trail import Trail

POLICIES: Final = ("lru", "wtinylfu", "s3fifo", "sieve")
STEPS: Final = 7
MOST: Final = 4_000
LEAST: Final = 50
"""With fewer reads a curve would be noise."""
LIFETIMES: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """What a fixed lifetime in seconds would have given: shares of all reads, 0..1."""

    seconds: float
    hits: float
    stale: float


@dataclass(frozen=True, slots=True)
class WhatIf:
    """``sizes`` in bytes, ascending; ``hit_ratios``: policy -> hit ratio at each size.

    ``seconds``: the time the reads span; ``changes``: how many of the values were found changed when they
    were fetched again, so ``stale`` of the lifetimes is at least what it says. ``worker``: the process whose
    reads they are; each has a memory of its own, which is what is made larger here.
    """

    taken_at: float
    reads: int
    keys: int
    seconds: float
    sizes: list[int]
    hit_ratios: dict[str, list[float]]
    lifetimes: list[Lifetime]
    changes: int
    worker: int = 0


def rehearse(
    accesses: Sequence[tuple[str, int]],
    reads: Sequence[tuple[float, str]],
    changes: Mapping[str, Sequence[float]],
    now: float,
) -> WhatIf:
    """``accesses`` and ``reads`` are the same reads, with bytes and with times."""
    bytes_of = dict(accesses)
    whole = sum(bytes_of.values())
    sizes = sorted({max(1, round(whole / 2**step)) for step in range(STEPS)})
    ratios = {
        policy: [simulate(accesses, policy, size, by="bytes").hit_ratio for size in sizes]
        for policy in POLICIES
    }
    return WhatIf(
        taken_at=now,
        reads=len(reads),
        keys=len(bytes_of),
        seconds=reads[-1][0] - reads[0][0],
        sizes=sizes,
        hit_ratios=ratios,
        lifetimes=[_lifetime(reads, changes, seconds) for seconds in LIFETIMES],
        changes=sum(len(found) for found in changes.values()),
        worker=os.getpid(),
    )


def _lifetime(
    reads: Sequence[tuple[float, str]], changes: Mapping[str, Sequence[float]], seconds: float
) -> Lifetime:
    outcome = rehearse_ttl(reads, changes, seconds)
    return Lifetime(seconds, 1.0 - outcome.miss_ratio, outcome.stale_share)


def curve_chart(found: WhatIf) -> Chart:
    """Hit ratios by size; each step to the right doubles the memory."""
    steps = [float(step) for step in range(len(found.sizes))]
    span = (0.0, max(1.0, steps[-1]))
    return chart(steps, {name: list(line) for name, line in found.hit_ratios.items()}, span)


@dataclass(slots=True)
class Rehearsals:
    """One at a time in each worker; the last one is shown by all."""

    learning: Any
    answers: Answers
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def last(self) -> WhatIf | None:
        return self.answers.get("what-if", WhatIf)

    @property
    def trail(self) -> Trail | None:
        """None where nobody writes one: it needs the setting ``usage_pattern_learning``."""
        return getattr(self.learning, "trail", None)

    async def run(self) -> WhatIf:
        """Raises ProblemError 409 or 501."""
        trail = self.trail
        if trail is None:
            raise ProblemError(501, "Nobody remembers reads: set usage_pattern_learning = true.")
        if self._busy.locked():
            raise ProblemError(409, "It is being worked out; wait for it.")
        async with self._busy:
            accesses, reads, changes = trail.accesses(MOST), trail.timed(MOST), trail.changes()
            if len(reads) < LEAST:
                raise ProblemError(409, f"This worker saw {len(reads)} reads so far; it needs {LEAST}.")
            found = await asyncio.to_thread(rehearse, accesses, reads, changes, time.time())
            self.answers.put("what-if", found)
            return found
