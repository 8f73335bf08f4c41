"""The last reads of the cache, as numbers: what other sizes, policies and lifetimes can be tried on."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict, deque
from hashlib import blake2b
from typing import Final

from perfmw.contracts import WorkloadEvent

MOST_READS: Final = 20_000
MOST_KEYS: Final = 20_000
MOST_CHANGES: Final = 64
"""Of one key; the older ones are forgotten."""


class Trail:
    """Remembers when which key was read, how large its value is and when it was found changed. Pure.

    Keys are kept as hashes: the trail tells nobody's URLs. A change is seen only when a value is fetched
    anew, so there may have been more.
    """

    def __init__(self) -> None:
        self.reads: deque[tuple[float, int]] = deque(maxlen=MOST_READS)
        self._known: OrderedDict[int, tuple[int, bytes, deque[float]]] = OrderedDict()

    def read(self, key: str, now: float) -> None:
        self.reads.append((now, hash(key)))

    def stored(self, key: str, body: bytes, now: float) -> None:
        """A value of ``key`` was fetched and is kept."""
        number, digest = hash(key), blake2b(body, digest_size=8).digest()
        _, before, changes = self._known.pop(number, (0, digest, deque[float](maxlen=MOST_CHANGES)))
        if before != digest:
            changes.append(now)
        self._known[number] = len(body), digest, changes
        if len(self._known) > MOST_KEYS:
            self._known.popitem(last=False)

    def accesses(self, most: int) -> list[tuple[str, int]]:
        """The last ``most`` reads of what can be kept: key and bytes, the oldest first."""
        known = self._known
        return [(str(key), max(1, known[key][0])) for _, key in self._cacheable(most)]

    def timed(self, most: int) -> list[tuple[float, str]]:
        """The same with their time in unix seconds instead of sizes."""
        return [(now, str(key)) for now, key in self._cacheable(most)]

    def events(self, most: int) -> list[WorkloadEvent]:
        """The same with all that is known; the version of a value is how often it had been found changed."""
        found = []
        for now, key in self._cacheable(most):
            size, _, changes = self._known[key]
            found.append(WorkloadEvent(str(key), max(1, size), now, version=str(bisect_right(changes, now))))
        return found

    def changes(self) -> dict[str, list[float]]:
        """When each key was found changed, ascending; keys without a change are left out."""
        return {str(key): list(found) for key, (_, _, found) in self._known.items() if found}

    def _cacheable(self, most: int) -> list[tuple[float, int]]:
        return [read for read in self.reads if read[1] in self._known][-most:]
