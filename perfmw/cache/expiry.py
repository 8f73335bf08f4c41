"""What a memory layer knows of entries beside their values, and which of them expires next.

Pure: time is an argument. Facts are kept only of entries that need them, so an entry without expiry and size
weighs nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from heapq import heapify, heappop, heappush

FOR_EVER = math.inf
_SLACK = 64
_EXACT_SECONDS = 1.0
"""Entries with less to live are in a heap, in order; the others in slots by roughly when they expire."""

Facts = complex
"""When an entry expires (``real``) and its size (``imag``): a complex number is the smallest object that
holds two numbers, 32 bytes where a tuple of them takes 112."""


class FactBook:
    """Facts by key, and the keys by when they expire.

    A key waits in a slot with others that expire within about the same eighth of their time to live. When a
    slot's time begins its keys are dealt again, into finer slots, and at the end into a heap. So waiting
    costs a key 8 bytes for most of its life. What is overwritten or removed stays where it waits until that
    comes up, or until there is half as much of it as of what is valid.
    """

    def __init__(self) -> None:
        self.by_key: dict[Hashable, Facts] = {}
        self._slots: dict[tuple[float, float], list[Hashable]] = {}
        self._starts: list[tuple[float, float]] = []
        self._due: list[tuple[float, int, Hashable]] = []
        self._numbers = 0
        self._waiting = self._timed = 0

    def note(self, key: Hashable, expires: float, size: int, now: float) -> None:
        """Know this of ``key`` from now on, in place of what was known."""
        known = self.by_key.get(key)
        if known is not None and known.real != FOR_EVER:
            self._timed -= 1
        self.by_key[key] = complex(expires, size)
        if expires != FOR_EVER:
            self._timed += 1
            self._wait(key, expires, now)
            if self._waiting > 1.5 * self._timed + _SLACK:
                self._deal_anew(now)

    def forget(self, key: Hashable) -> Facts | None:
        """What was known of ``key``."""
        facts = self.by_key.pop(key, None)
        if facts is not None and facts.real != FOR_EVER:
            self._timed -= 1
        return facts

    def next_expired(self, now: float) -> Hashable | None:
        """A key that has expired at ``now``, of those that are in order the earliest; None without one."""
        while self._starts and self._starts[0][0] <= now:
            self._deal(heappop(self._starts), now)
        while self._due and self._due[0][0] <= now:
            expires, _, key = heappop(self._due)
            self._waiting -= 1
            facts = self.by_key.get(key)
            if facts is not None and facts.real == expires:
                return key
        return None

    def _wait(self, key: Hashable, expires: float, now: float) -> None:
        self._waiting += 1
        remaining = expires - now
        if remaining < _EXACT_SECONDS:
            self._numbers += 1  # keys need not be comparable
            heappush(self._due, (expires, self._numbers, key))
            return
        width = math.ldexp(1.0, math.frexp(remaining)[1] - 4)
        slot = (expires // width * width, width)
        keys = self._slots.get(slot)
        if keys is None:
            keys = self._slots[slot] = []
            heappush(self._starts, slot)
        keys.append(key)

    def _deal(self, slot: tuple[float, float], now: float) -> None:
        start, width = slot
        keys = self._slots.pop(slot)
        self._waiting -= len(keys)
        for key in keys:
            facts = self.by_key.get(key)
            if facts is not None and start <= facts.real < start + width:
                self._wait(key, facts.real, max(now, start))

    def close_gaps(self) -> None:
        """Make the table anew, without the places of what was forgotten."""
        self.by_key = dict(self.by_key)

    def _deal_anew(self, now: float) -> None:
        """Without what is not valid any more."""
        self.close_gaps()
        self._slots.clear()
        self._starts.clear()
        self._due.clear()
        self._waiting = 0
        for key, facts in self.by_key.items():
            if facts.real != FOR_EVER:
                self._wait(key, facts.real, now)
        heapify(self._due)

    @property
    def timed(self) -> bool:
        """Whether anything here may expire."""
        return self._timed > 0
