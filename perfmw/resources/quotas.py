"""Quotas: so many in a time from each, whenever they come or evenly. Pure; memory is bounded."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil
from typing import NamedTuple


class Verdict(NamedTuple):
    """``remaining``: how many more at once. ``reset``: seconds until all of it is there again; ``retry``:
    until the next one is.
    """

    allowed: bool
    remaining: int
    reset: float
    retry: float


class WindowQuota:
    """``limit`` per ``window`` seconds from each key, whenever in it they come.

    A key's window begins with its first request, and the next one with the first after it. Times are of any
    clock that only goes forward, in seconds.

    :param most: keys that are kept apart; beyond it, who was longest away is forgotten.
    :raises ValueError: a limit, window or ``most`` that is not positive.
    """

    def __init__(self, limit: int, window: float, most: int = 10_000) -> None:
        if limit < 1 or most < 1 or not window > 0.0:
            raise ValueError("limit, window and most are positive")
        self.limit, self.window = limit, window
        self._most = most
        self._used: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Key -> when its window began, and how many came in it."""

    def __len__(self) -> int:
        return len(self._used)

    def take(self, key: str, now: float, reserve: float = 0.0) -> Verdict:
        """One more from ``key``, if that is allowed.

        :param reserve: the share of the limit that is not for this one.
        """
        began, used = self._used.get(key, (now, 0))
        if now - began >= self.window:
            began, used = now, 0
        most, reset = max(1, int(self.limit * (1.0 - reserve))), began + self.window - now
        if used >= most:
            return Verdict(False, 0, reset, reset)
        self._used[key] = began, used + 1
        self._used.move_to_end(key)
        if len(self._used) > self._most:
            self._used.popitem(last=False)
        return Verdict(True, most - used - 1, reset, 0.0)

    def give_back(self, key: str) -> None:
        """The last one was not served after all."""
        if key in self._used:
            began, used = self._used[key]
            self._used[key] = began, max(0, used - 1)


class RateQuota:
    """``limit`` per ``window`` seconds from each key, evenly, with up to ``burst`` at once.

    The generic cell rate algorithm (ITU-T I.371, as a virtual scheduling algorithm): one number for each who
    is counted, the time at which all that came would have come had it kept to the rate. In any window at most
    ``limit + burst`` pass. Times are of any clock that only goes forward, in seconds.

    :param most: keys that are kept apart; beyond it, who was longest away is forgotten.
    :raises ValueError: a limit, window, burst or ``most`` that is not positive.
    """

    def __init__(self, limit: int, window: float, burst: int, most: int = 10_000) -> None:
        if limit < 1 or burst < 1 or most < 1 or not window > 0.0:
            raise ValueError("limit, window, burst and most are positive")
        self.limit, self.window, self.burst = limit, window, burst
        self._step = window / limit
        self._most = most
        self._times: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    def take(self, key: str, now: float, reserve: float = 0.0) -> Verdict:
        """One more from ``key``, if that is allowed.

        :param reserve: the share of the burst that is not for this one.
        """
        step, times = self._step, self._times
        before = max(times.get(key, now), now)
        most = max(step, self.burst * step * (1.0 - reserve))
        after = before + step
        if after - now > most + 1e-9 * step:
            return Verdict(False, 0, before - now, after - now - most)
        times[key] = after
        times.move_to_end(key)
        if len(times) > self._most:
            times.popitem(last=False)
        return Verdict(True, int((most - (after - now)) / step + 1e-9), after - now, 0.0)

    def give_back(self, key: str) -> None:
        """The last one was not served after all."""
        if key in self._times:
            self._times[key] -= self._step


class Ask(NamedTuple):
    """To raise the common count of window ``number`` by ``tickets``; ``known`` are told to it already."""

    number: int
    tickets: int
    known: int


class Leases:
    """One key's share of a limit that several processes count together, in windows by the clock.

    Tickets are taken from the common count a few at a time, so that it is asked seldom: what a process has
    taken and not used when a window ends is the only error, and always to the safe side. What was let through
    while nobody could be asked is told with the next question, and so is what the common count forgot.

    :param limit: of a window, over all processes. :param window: in seconds of unix time.
    """

    _SHARE = 400

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self.chunk = max(1, limit // self._SHARE)
        """How many tickets are taken at once."""
        self._number = -1
        self._left = self._common = self._told = self._untold = 0
        self._used_up = False

    def take(self, now: float) -> Verdict | None:
        """A verdict, or None if the common count has to be asked first: raise it by ``ask``."""
        self._turn(now)
        if self._left > 0:
            self._left -= 1
            return self._verdict(True, now)
        return self._verdict(False, now) if self._used_up else None

    def ask(self, now: float) -> Ask:
        """How to raise the common count: by a few tickets, and by what it does not know of."""
        self._turn(now)
        untold, self._untold = self._untold, 0
        return Ask(self._number, self.chunk + untold, self._told)

    def unanswered(self, now: float, ask: Ask) -> None:
        """The common count could not be raised."""
        self._turn(now)
        if ask.number == self._number:
            self._untold += ask.tickets - self.chunk

    def alone(self, now: float) -> None:
        """One was let through without the common count."""
        self._turn(now)
        self._untold += 1

    def granted(self, now: float, ask: Ask, count: int) -> None:
        """The common count was raised to ``count``."""
        self._turn(now)
        if ask.number != self._number:
            return
        if count < ask.known + ask.tickets:  # it was begun anew, as by a server that restarted
            self._untold, self._told = self._untold + ask.known, max(0, self._told - ask.known)
        self._told += ask.tickets
        self._common = count
        got = max(0, min(self.chunk, self._limit - (count - self.chunk)))
        self._left += got
        self._used_up = got < self.chunk

    def give_back(self) -> None:
        """The last one was not served after all."""
        self._left += 1

    def _turn(self, now: float) -> None:
        number = int(now // self._window)
        if number != self._number:
            self._number, self._used_up = number, False
            self._left = self._common = self._told = self._untold = 0

    def _verdict(self, allowed: bool, now: float) -> Verdict:
        """What remains is as of when the common count was last asked: others may have taken of it since."""
        reset = (self._number + 1) * self._window - now
        remaining = self._left + max(0, self._limit - self._common)
        return Verdict(allowed, remaining, reset, 0.0 if allowed else reset)


def seconds_up(seconds: float) -> int:
    """Whole seconds for a header field, at least 1."""
    return max(1, ceil(seconds))


class Heaviest:
    """Who was counted most often, of ``most`` that are kept. Counts are exact until there are more than that.

    The space-saving algorithm (Metwally et al., 2005): who is new takes the place and the count of the least,
    so that nobody who belongs to the heaviest is missing.
    """

    def __init__(self, most: int = 50) -> None:
        self._most = most
        self._counts: dict[str, int] = {}

    def add(self, key: str) -> None:
        counts = self._counts
        if key not in counts and len(counts) >= self._most:
            least = min(counts, key=counts.__getitem__)
            counts[key] = counts.pop(least)
        counts[key] = counts.get(key, 0) + 1

    def top(self, number: int) -> list[tuple[str, int]]:
        """The heaviest first; each count is too high by at most what the least kept has."""
        return sorted(self._counts.items(), key=lambda one: (-one[1], one[0]))[:number]
