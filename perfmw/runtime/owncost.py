"""What perfmw itself takes: the rounds' processor time, and the time that requests spend in it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from perfmw.profiles.reading import Reading


@dataclass(slots=True)
class OwnCost:
    """Processor seconds of the rounds since ``began`` (``monotonic``)."""

    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def timed(self, steps: Iterable[None]) -> Iterator[None]:
        """The same steps; what each takes of this thread's processor time is counted."""
        left = iter(steps)
        while True:
            before = time.thread_time()
            try:
                next(left)
            except StopIteration:
                return
            finally:
                self.seconds += time.thread_time() - before
            yield

    @property
    def share(self) -> float:
        """The share of a core that the rounds take."""
        return self.seconds / max(time.monotonic() - self.began, 1.0)


@dataclass(frozen=True, slots=True)
class CostView:
    """What perfmw takes. ``hit`` and ``sampled``: seconds a request; None where nothing was counted.

    ``hit``: mean time of an answer from the cache, all of it perfmw's own, of ``hits`` requests.
    ``sampled``: mean time that ``samples`` sampled requests spent in perfmw, of ``whole`` seconds each.
    ``background``: share of a core that sampling, checking and exporting take, apart from requests.
    """

    hit: float | None
    hits: int
    sampled: float | None
    whole: float | None
    samples: int
    background: float | None


def cost_of(runtime: Any, reading: Reading) -> CostView:
    """``reading``: what all routes counted in the time that is looked at. Requests are all workers'."""
    samples, whole, inside = 0, 0.0, 0.0
    for tracked in runtime.profiles.everything():
        extras = tracked.known_extras() if tracked.recorder.type == "component" else None
        if extras is not None and extras.sampled:
            samples += extras.sampled
            inside += extras.shares["cache"]
            whole += sum(value for name, value in extras.shares.items() if name != "cpu")
    rounds = getattr(runtime, "rounds", None)
    return CostView(
        hit=reading.hit_sketch.sum / reading.hits if reading.hits else None,
        hits=reading.hits,
        sampled=inside / samples if samples else None,
        whole=whole / samples if samples else None,
        samples=samples,
        background=rounds.cost.share if rounds is not None else None,
    )
