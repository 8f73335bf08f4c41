"""The reads of cached functions, for curves: noted on their way, learned from on the timer's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from perfmw.learning.curves import MissRatioCurve

if TYPE_CHECKING:
    from perfmw.cache.entries import Entry
    from perfmw.cache.spaces import Spaces

PREFIX: Final = "fn:"
MOST_READS: Final = 1_000
"""Between two ticks; where there are more, half as many of the keys are followed."""
MOST_FUNCTIONS: Final = 50
_LEAST_KEYS = 256
"""Of fewer keys a sample tells nothing; then of many reads the last ones count."""
_CURVE = 2_000, 512
_STEPS = 64

Read = tuple[str, str, int]
"""The namespace, the key, and the bytes of what was found, 0 if nothing was."""


class _Sampled:
    """The curve of one function, over one of 2 ** ``thin`` of its keys."""

    def __init__(self, thin: int) -> None:
        self.thin = thin
        self.curve = MissRatioCurve(*_CURVE)
        self._bytes = self._found = 0

    def read(self, key: str, found: int) -> None:
        """``key`` was read, and ``found`` so many bytes; 0 where nothing was."""
        self.curve.access(key)
        self._bytes += found
        self._found += found > 0

    @property
    def mean_bytes(self) -> float:
        """Of what was found; 1 while nothing was."""
        return self._bytes / self._found if self._found else 1.0

    def ratios(self, sizes: Iterable[int]) -> list[float]:
        """Hit ratios of so many entries of all; a sample of the keys stands for all."""
        return self.curve.curve([size >> self.thin for size in sizes])

    def entries_for(self, ratio: float) -> int:
        """How many entries hit as often as that, 0..1; 0 where nothing hits."""
        footprint = self.curve.footprint()
        sizes = sorted({footprint * step // _STEPS for step in range(1, _STEPS + 1)})
        hits = self.curve.curve(sizes)
        found = (size for size, one in zip(sizes, hits, strict=True) if one >= min(ratio, hits[-1]))
        return next(found, 0) << self.thin

    def told(self) -> dict[str, Any]:
        """Reads, and in entries the knee and how many are of use."""
        return {
            "reads": self.curve.accesses << self.thin,
            "knee": self.curve.knee() << self.thin,
            "footprint": self.curve.footprint() << self.thin,
            "entry_bytes": self.mean_bytes,
        }


class FunctionReads:
    """Hears of every read of a cached function's result in memory; a read costs it one ``append``."""

    def __init__(self, spaces: Spaces) -> None:
        self.functions: dict[str, _Sampled] = {}
        self._waiting: deque[Read] = deque(maxlen=MOST_READS)
        self._thin = 0
        self._missed = ""
        self._lost = False
        for space, cache in spaces.caches.items():
            cache.hear_reads(partial(self._listening, space))

    @property
    def complete(self) -> bool:
        """Whether every read was heard, so that they can be set beside those of pages."""
        return not self._thin and not self._lost

    def take(self) -> Iterator[Read]:
        """What was read since the last time, with the bytes that are known or likely of it."""
        waiting = list(self._waiting)
        self._waiting.clear()
        for space, key, found in waiting:
            function = self._function(_name(key))
            if function is not None:
                function.read(key, found)
                yield space, key, found or round(function.mean_bytes)
        if len(waiting) == MOST_READS:
            self._thin_out()

    def told(self) -> dict[str, Any]:
        """By function, what ``_Sampled.told`` says."""
        return {name: one.told() for name, one in self.functions.items()}

    def _listening(self, space: str, plain: Callable[[str], Any]) -> Callable[[str], Any]:
        """``plain``, which reads the memory of ``space``, and what it finds for functions is heard of."""

        def read(key: str) -> Any:
            entry = plain(key)
            if key.startswith(PREFIX) and not (self._thin and hash(key) & ((1 << self._thin) - 1)):
                self._hear(space, key, entry)
            return entry

        return read

    def _hear(self, space: str, key: str, entry: Entry | None) -> None:
        if entry is None and key == self._missed:  # looked for again by the same call
            self._missed = ""
            return
        self._missed = key if entry is None else ""
        self._waiting.append((space, key, entry.size if entry is not None else 0))

    def _function(self, name: str) -> _Sampled | None:
        known = self.functions.get(name)
        if known is None and len(self.functions) < MOST_FUNCTIONS:
            known = self.functions[name] = _Sampled(self._thin)
        return known

    def _thin_out(self) -> None:
        """There were more reads than are learned from: follow half of the keys, from new on."""
        self._lost = True
        if sum(one.curve.footprint() for one in self.functions.values()) >= _LEAST_KEYS:
            self._thin += 1
            self.functions = {name: _Sampled(self._thin) for name in self.functions}


def _name(key: str) -> str:
    return key[len(PREFIX) :].partition(":")[0]
