"""A service in simulated time: servers with one queue, and requests that come whether or not served."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perfmw.resources import ConcurrencyLimiter, Priority
from perfmw.resources.concurrency import Ticket


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: when it came, how long it took (None: refused), and its class."""

    came: float
    took: float | None
    priority: int


class Service:
    """``servers`` requests at once, each for ``seconds`` give or take a tenth; the others wait in turn."""

    def __init__(
        self, servers: int, seconds: float, limiter: ConcurrencyLimiter | None, seed: int = 1
    ) -> None:
        self.capacity = servers / seconds
        self._free, self._seconds, self._limiter = servers, seconds, limiter
        self._chance = random.Random(seed)
        self._waiting: deque[tuple[float, Ticket | None, int]] = deque()
        self._ends: list[tuple[float, int, tuple[float, Ticket | None, int]]] = []
        self.outcomes: list[Outcome] = []

    def run(self, load: Callable[[float], float], seconds: float, priorities: Sequence[int] = (1,)) -> None:
        """Requests at ``load(now)`` times the capacity for so long, then until all are served."""
        now, serial = 0.0, 0
        while now < seconds:
            now += self._chance.expovariate(load(now) * self.capacity)
            while self._ends and self._ends[0][0] <= now:
                self._end()
            serial += 1
            self._come(now, serial, self._chance.choice(priorities))
        while self._ends:
            self._end()

    def _come(self, now: float, serial: int, priority: int) -> None:
        ticket = self._limiter.admit(now, priority) if self._limiter is not None else None
        if isinstance(ticket, str):
            self.outcomes.append(Outcome(now, None, priority))
            return
        self._waiting.append((now, ticket, priority))
        self._begin(now, serial)

    def _begin(self, now: float, serial: int) -> None:
        if self._free and self._waiting:
            self._free -= 1
            end = now + self._seconds * self._chance.uniform(0.9, 1.1)
            heapq.heappush(self._ends, (end, serial, self._waiting.popleft()))

    def _end(self) -> None:
        now, serial, (came, ticket, priority) = heapq.heappop(self._ends)
        self._free += 1
        self.outcomes.append(Outcome(came, now - came, priority))
        if self._limiter is not None and ticket is not None:
            self._limiter.done(ticket, now)
        self._begin(now, serial)


def between(
    outcomes: Sequence[Outcome], begin: float, end: float, priority: int | None = None
) -> list[Outcome]:
    """Those that came within a time."""
    return [
        one for one in outcomes if begin <= one.came < end and (priority is None or one.priority == priority)
    ]


def served(outcomes: Sequence[Outcome]) -> list[float]:
    """How long the admitted took, sorted."""
    return sorted(one.took for one in outcomes if one.took is not None)


ALL = tuple(Priority)
