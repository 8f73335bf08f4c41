"""Who may come in: a limit that follows what requests measure, with classes of priority. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import IntEnum
from math import inf
from typing import Final, Literal

from perfmw.resources.concurrency.algorithms import Gradient, LimitAlgorithm, Window
from perfmw.resources.concurrency.splits import Split

Refusal = Literal["limit", "priority"]
"""Why a request was refused: the limit is reached, or what is left is for those who go before."""


class Priority(IntEnum):
    """Classes of requests; a higher one is never refused while a lower one is let in."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


_HIGHEST: Final = int(Priority.HIGH)
_SHARES: Final = (0.75, 0.9, 1.0)
"""Of the limit, what each class may fill."""
_LEAST_HIGH: Final = 4
"""Requests of the highest class that are let in whatever the limit: where it is 1, two may meet."""
_HOLD: Final = 0.25
"""Seconds for which no lower class is let in after a higher one was refused."""
_WINDOW: Final = 0.1
_LEAST_SAMPLES: Final = 10
_LONGEST_WINDOW: Final = 2.0
_MEMORY: Final = 30
_RATES: Final = 50
_SURE: Final = 0.8
_BURST: Final = 4.0
_EARNED: Final = 1.0
_MOST_EARNED: Final = 1.5
"""Times the limit; more would let a backlog build up before the limit holds where an overload begins."""
_WAITS: Final = 1.3
_PROBE_EVERY: Final = 20.0
_PROBE_SHARE: Final = 0.5
_FEW: Final = 8.0
"""Below this limit one at a time is looked at: of two that compute, one waits for the other."""


class Ticket:
    """One request under way. Give it back to the limiter's ``done`` or ``cancel`` exactly once.

    The limiter makes it, without ``__init__``, which would cost a call.
    """

    __slots__ = ("begun", "priority", "who")

    begun: float
    priority: int
    who: str


class ConcurrencyLimiter:
    """Lets as many requests in at once as can be served without waiting, and finds out how many that is.

    A window of requests (at least 0.1 s and 10 requests) gives their mean latency; the least of recent
    windows is what a request takes when nothing waits. Under lasting load nothing shows that any more: then
    the limit is halved, or 1 where it is small, for one window every 20 s to look. Without overload nothing
    is probed, and bursts go over the limit with what they have earned while it was half empty.

    Pure: ``now`` is any clock that only goes forward, in seconds. Not made for several threads.

    :param split: how places are split where there are not enough; without one by priority.
    :param initial: the limit to begin with, in requests.
    :param least: the limit is never lower. :param most: nor higher.
    :raises ValueError: not 1 <= least <= initial <= most.
    """

    def __init__(
        self,
        *,
        algorithm: LimitAlgorithm | None = None,
        split: Split | None = None,
        initial: int = 20,
        least: int = 1,
        most: int = 1000,
    ) -> None:
        if not 1 <= least <= initial <= most:
            raise ValueError(f"1 <= least <= initial <= most is asked for, not {least}, {initial}, {most}")
        self._algorithm = algorithm or Gradient()
        self._split = split
        self._least, self._most = least, most
        self.in_flight = 0
        self.refused = 0
        """Since the start."""
        self._under_way = [0] * len(Priority)
        self.refused_at = -inf
        """When a request was last refused."""
        self._held_until = [-inf] * len(Priority)
        """By class: until then nobody of it is let in, for one who goes before was refused."""
        self._window = _Measured()
        self._lows: deque[float] = deque(maxlen=_MEMORY)
        self._rates: deque[float] = deque(maxlen=_RATES)
        self._probed_at: float | None = None
        self._before_probe: float | None = None
        self._starting, self._was_full = True, False
        self._credit = 0.0
        """Requests that may go over the limit. Earned while it is half empty, so only bursts have any."""
        self._set(float(initial))

    def _set(self, limit: float) -> None:
        """The limit from now on, and what follows from it: each decision reads these."""
        self._limit = limit
        self.limit = max(self._least if self._before_probe is None else 1, int(limit))
        """The requests that may be under way at once, now."""
        rooms = [max(1.0, self.limit * share) for share in _SHARES]
        rooms[Priority.HIGH] = max(rooms[Priority.HIGH], min(_LEAST_HIGH, self._most))
        self._rooms = rooms

    @property
    def most(self) -> int:
        """The limit is never higher."""
        return self._most

    def bound(self, most: int) -> None:
        """Have the limit stay within ``most``, from now on. Raises ValueError below the least.

        Where it was held back until now, it is a first guess again.
        """
        if most < self._least:
            raise ValueError(f"the limit is at least {self._least}, so it can not be {most} at most")
        self._starting |= self._most < most and self._limit >= self._most
        self._most = most
        self._set(min(self._limit, float(most)))

    def admit(self, now: float, priority: int = Priority.NORMAL, who: str = "") -> Ticket | Refusal:
        """A ticket, or why not. ``who`` asks, where places are split fairly.

        A class sees those under way that are its equals or go before it, so that the lower ones never fill
        what a higher one may have.
        """
        split = self._split
        if split is not None:
            if not split.fits(now, self.limit, priority, who) and not self._may_burst():
                return self.refuse(now, priority, "limit" if self.in_flight >= self.limit else "priority")
            split.entered(priority, who)
        elif now < self._held_until[priority]:
            return self.refuse(now, priority, "priority")
        else:
            ahead = self.in_flight if priority != _HIGHEST else self._under_way[priority]
            if ahead >= self._rooms[priority] and not self._may_burst():
                return self.refuse(now, priority, "limit" if ahead >= self.limit else "priority")
        self.in_flight += 1
        self._under_way[priority] += 1
        if self.in_flight > self._window.most:
            self._window.most = self.in_flight
        ticket = Ticket()
        ticket.begun, ticket.priority, ticket.who = now, priority, who
        return ticket

    def _may_burst(self) -> bool:
        """Whether one more may go over the limit, by what was earned."""
        if self._credit < 1.0 or self.in_flight >= _BURST * self.limit:
            return False
        self._credit -= 1.0
        return True

    def _seen_by(self, priority: int) -> int:
        return self._under_way[priority] if priority == _HIGHEST else self.in_flight

    def has_room(self, priority: int = Priority.NORMAL, who: str = "", now: float = 0.0) -> bool:
        """Whether one more of that class is within the limit."""
        if self._split is not None:
            return self._split.fits(now, self.limit, priority, who)
        return self._seen_by(priority) < self._rooms[priority]

    def foresee(self, now: float, priority: int, who: str, coming: Sequence[int]) -> Refusal | None:
        """Why ``admit`` would refuse one more, once those are inside who are on their way; None if not.

        :param coming: how many more of each class will be under way by then; fewer where it is negative.
        """
        more, limit = sum(coming), self.limit
        if self._split is None and now < self._held_until[priority]:
            return "priority"
        if self._credit >= max(0, more) + 1.0 and self.in_flight + more < _BURST * limit:
            return None
        if self._split is not None:
            fits = self._split.fits(now, max(1, limit - more), priority, who)
            return None if fits else "limit"
        ahead = self._seen_by(priority) + (coming[priority] if priority == _HIGHEST else more)
        if ahead < self._rooms[priority]:
            return None
        return "limit" if ahead >= limit else "priority"

    def refuse(self, now: float, priority: int, why: Refusal) -> Refusal:
        """Count a refusal; ``admit`` does so by itself. For a moment no lower class is let in."""
        self.refused += 1
        self.refused_at = now
        for lower in range(priority):
            self._held_until[lower] = now + _HOLD
        self._window.full = True
        return why

    def cancel(self, ticket: Ticket) -> None:
        """A request is over that says nothing about how long one takes: it failed, or it streams on."""
        self.in_flight -= 1
        self._under_way[ticket.priority] -= 1
        if self._split is not None:
            self._split.left(ticket.priority, ticket.who)

    def done(self, ticket: Ticket, now: float, *, waited: float = 0.0, dropped: bool = False) -> None:
        """A request is over.

        :param waited: seconds it waited before ``admit`` saw it, such as the event loop's lag.
        :param dropped: it failed for want of capacity behind.
        """
        self.cancel(ticket)
        window = self._window
        if not (window.full or self._was_full) and 2 * self.in_flight < self.limit:
            # handlers that compute leave the limit empty after each turn, so in overload that says nothing
            self._credit = min(self._credit + _EARNED, _MOST_EARNED * self._limit)
        if self._before_probe is not None and ticket.begun < window.begun:
            return  # it waited in what the probe is to look behind
        window.count += 1
        window.total += now - ticket.begun + waited
        window.dropped |= dropped
        enough = _WINDOW if window.count >= _LEAST_SAMPLES else _LONGEST_WINDOW
        if now - window.begun >= enough:
            self._close(now)

    def _close(self, now: float) -> None:
        window, self._window = self._window, _Measured(now)
        latency = window.total / window.count
        if self._before_probe is not None:
            self._end_probe(now, latency)
            return
        if not window.full or not self._lows:
            self._lows.append(latency)
        self._was_full = window.full
        unloaded = min(self._lows)
        measured = Window(latency, min(unloaded, latency), window.most, window.dropped)
        self._rates.append(window.count / (now - window.begun))
        limit = max(self._algorithm.next(self._limit, measured), self._needed(unloaded))
        if self._starting:
            limit = self._start(limit, measured)
        self._set(max(float(self._least), min(float(self._most), limit)))
        self._maybe_probe(now)

    def _needed(self, unloaded: float) -> float:
        """What has to be under way for the most that was served lately, if nothing waited.

        Less would only serve less, whatever else makes requests slow: a process that has too little of a
        processor to refuse all that come, for one. After the bandwidth-delay product of BBR (Cardwell et
        al., 2016).
        """
        return _SURE * max(self._rates) * unloaded

    def _start(self, limit: float, measured: Window) -> float:
        """Twice the limit while it is reached and nothing waits: the first guess may be far too low."""
        if measured.latency > _WAITS * measured.unloaded:
            self._starting = False
        elif self._was_full:
            return max(limit, 2.0 * self._limit)
        return limit

    def _maybe_probe(self, now: float) -> None:
        if not self._was_full:
            self._probed_at = None
        elif self._probed_at is None:
            self._probed_at = now
        elif now - self._probed_at >= _PROBE_EVERY:
            self._before_probe = self._limit
            self._set(1.0 if self._limit < _FEW else self._limit * _PROBE_SHARE)

    def _end_probe(self, now: float, latency: float) -> None:
        self._lows.clear()
        self._lows.append(latency)
        before, self._before_probe, self._probed_at = self._before_probe or self._limit, None, now
        self._set(before)


class _Measured:
    """A window under way."""

    __slots__ = ("begun", "count", "dropped", "full", "most", "total")

    def __init__(self, begun: float = 0.0) -> None:
        self.begun = begun
        self.count = 0
        self.total = 0.0
        self.most = 0
        self.dropped = False
        self.full = False
