"""The gate of a group of routes: a limiter at work in an event loop, with a short queue before it."""

from __future__ import annotations

import asyncio
import heapq
from time import perf_counter
from typing import Any

from perfmw.resources.concurrency import (
    Aimd,
    ConcurrencyLimiter,
    Gradient,
    LimitAlgorithm,
    Priority,
    Ticket,
    Vegas,
    split_of,
)
from perfmw.runtime.turns import Turns
from perfmw.settings import Concurrency

_ALGORITHMS: dict[str, type[LimitAlgorithm]] = {"gradient": Gradient, "vegas": Vegas, "aimd": Aimd}
_SMOOTHING = 0.1

Waiting = tuple[int, int, "asyncio.Future[Ticket | None]", str]


class Gate:
    """Who may come in to the routes of one group. One in a process and for one event loop.

    :param wait: seconds that a request may wait for its turn; 0 for none.
    """

    def __init__(self, name: str, bounds: Concurrency, turns: Turns) -> None:
        self.name = name
        least, initial, most = bounds.bounds
        algorithm = _ALGORITHMS[bounds.algorithm]()
        split = split_of(bounds.strategy, bounds.by_class)
        self._splits = split is not None
        self.limiter = ConcurrencyLimiter(
            algorithm=algorithm, split=split, initial=initial, least=least, most=most
        )
        self.wait = bounds.queue
        self.refused, self.admitted = [0] * len(Priority), [0] * len(Priority)
        """By class, since the start."""
        self._turns = turns
        self._longest = bounds.queue_length
        self._queue: list[Waiting] = []
        self._serial = 0
        self._latency = 0.0
        self._moving = [0] * len(Priority)
        """By class, those let go on at the door in this turn, less those whose slots its end will free."""
        self._came = [0] * len(Priority)
        self._closed, self._looking = [False] * len(Priority), False

    def enter(self, priority: Priority, who: str = "") -> Ticket | None:
        """A ticket, or None for a request that has to be refused; counts both."""
        answer = self.limiter.admit(self._turns.begun(perf_counter()), priority, who)
        if isinstance(answer, str):
            self.refused[priority] += 1
            return None
        self.admitted[priority] += 1
        return answer

    def shut(self, now: float, priority: Priority, who: str = "") -> bool:
        """Whether to turn a request away before it is even a task; counts it then.

        Who may go on asks for a ticket when the loop comes to its tasks. Until then nobody leaves, so one
        refusal holds for all of the class.
        """
        if not self._closed[priority]:
            if self.wait and self._hopeful(priority):
                return False
            if not self._looking:
                self._looking = True
                asyncio.get_running_loop().call_soon(self._look_up)
            why = self.limiter.foresee(now, priority, who, self._moving)
            if why is None:
                self._came[priority] += 1
                self._moving[priority] += 1
                return False
            self.limiter.refuse(now, priority, why)
            self._closed[priority] = not who
        else:
            self.limiter.refused += 1
        self.refused[priority] += 1
        return True

    def _look_up(self) -> None:
        """The loop comes to its tasks."""
        self._looking = False
        for priority in Priority:
            self._closed[priority] = False
            self._moving[priority] -= self._came[priority]
            self._came[priority] = 0

    async def enter_or_wait(self, priority: Priority, who: str = "") -> Ticket | None:
        """``enter``, after waiting for one's turn where that promises to be in time."""
        if self._queue or not self.limiter.has_room(priority, who, perf_counter()):
            ticket = await self._turn_of(priority, who) if self._hopeful(priority) else None
            if ticket is not None:
                self.admitted[priority] += 1
                return ticket
        return self.enter(priority, who)

    def _hopeful(self, priority: Priority) -> bool:
        """Whether those before leave a place before the deadline, as fast as they went lately."""
        before = sum(-rank >= priority for rank, _, future, _ in self._queue if not future.done())
        if before >= self._longest:
            return False
        return (before + 1) * self._latency <= self.wait * self.limiter.limit

    async def _turn_of(self, priority: Priority, who: str) -> Ticket | None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Ticket | None] = loop.create_future()
        self._serial += 1
        heapq.heappush(self._queue, (-priority, self._serial, future, who))
        timer = loop.call_later(self.wait, _give_up, future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and (ticket := future.result()) is not None:
                self.limiter.cancel(ticket)
            raise
        finally:
            timer.cancel()

    def leave(self, ticket: Ticket, *, measured: bool = True) -> None:
        """The request is over; its slot is free once this turn of the loop is.

        :param measured: False for one that says nothing about how long they take.
        """
        now = perf_counter()
        self._moving[ticket.priority] -= 1
        self._turns.at_end(self._done if measured else self._cancel, ticket, now)

    def _done(self, ticket: Ticket, now: float) -> None:
        self._moving[ticket.priority] += 1
        self.limiter.done(ticket, now)
        self._latency += _SMOOTHING * (now - ticket.begun - self._latency)
        if self._queue:
            self._let_in()

    def _cancel(self, ticket: Ticket, now: float) -> None:
        self._moving[ticket.priority] += 1
        self.limiter.cancel(ticket)
        if self._queue:
            self._let_in()

    def _let_in(self) -> None:
        """Those who wait, in their order. Where places are split, one that is not for the first may be for
        another.
        """
        now, waiting = perf_counter(), sorted(self._queue)
        for rank, _, future, who in waiting:
            if future.done():
                continue
            answer = self.limiter.admit(now, -rank, who) if self.limiter.has_room(-rank, who, now) else None
            if isinstance(answer, Ticket):
                future.set_result(answer)
            elif not self._splits:
                break
        self._queue = [one for one in waiting if not one[2].done()]

    def row(self) -> dict[str, Any]:
        """What it does at the moment and did since the start, as JSON values."""
        return {
            "group": self.name,
            "limit": self.limiter.limit,
            "most": self.limiter.most,
            "in_flight": self.limiter.in_flight,
            "waiting": sum(not future.done() for _, _, future, _ in self._queue),
            "admitted": {one.name.lower(): self.admitted[one] for one in Priority},
            "refused": {one.name.lower(): self.refused[one] for one in Priority},
        }


def _give_up(future: asyncio.Future[Ticket | None]) -> None:
    if not future.done():
        future.set_result(None)
