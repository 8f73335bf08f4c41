"""Which names deserve a profile of their own when there are more names than profiles. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Candidates(Generic[T]):
    """Counts the most frequent of any number of names in bounded memory.

    The algorithm of Misra and Gries ("Finding repeated elements", Science of Computer Programming 2, 1982):
    a name that is more than ``1 / (most + 1)`` of all is always held, with a count too low by at most
    that share.
    """

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._counts: dict[T, int] = {}

    def add(self, name: T) -> None:
        """Count one request for ``name``."""
        counts = self._counts
        if name in counts or len(counts) < self._most:
            counts[name] = counts.get(name, 0) + 1
            return
        for key in list(counts):
            counts[key] -= 1
            if not counts[key]:
                del counts[key]

    def take(self) -> list[tuple[T, int]]:
        """What was counted since the last call, the most frequent first."""
        counts, self._counts = self._counts, {}
        return sorted(counts.items(), key=lambda one: -one[1])
