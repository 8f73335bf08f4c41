"""How much of a cache gave nothing: values that left before anybody asked again, room without use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from perfmw.learning.bytecurve import ByteCurve

_HARDLY = 0.001
_STEPS = 100


@dataclass(frozen=True, slots=True)
class Waste:
    """Bytes: stored in all, of these never hit before they left, and of room that hardly any hit needs."""

    stored: int
    never_hit: int
    beyond: int
    hit_ratio: float

    @property
    def never_hit_share(self) -> float:
        """Of the bytes that were stored and have left, or are there still without a hit, 0..1."""
        return self.never_hit / self.stored if self.stored else 0.0

    def in_words(self) -> str:
        """One sentence for people."""
        return (
            f"{self.never_hit_share:.0%} of the bytes stored were never hit, and {self.beyond:,} bytes less"
            f" would give nearly the same {self.hit_ratio:.1%} of hits."
        )


def waste_of(accesses: Iterable[tuple[Hashable, int]], capacity: int) -> Waste:
    """What an LRU cache of ``capacity`` bytes would have wasted on these keys with their sizes.

    :raises ValueError: for a capacity below 1.
    """
    if capacity < 1:
        raise ValueError("the capacity must be at least 1 byte")
    kept: OrderedDict[Hashable, tuple[int, bool]] = OrderedDict()
    curve = ByteCurve()
    reads = hits = used = stored = never_hit = 0
    for key, size in accesses:
        curve.access(key, size)
        reads += 1
        if key in kept:
            hits += 1
            kept[key] = kept[key][0], True
            kept.move_to_end(key)
        elif size <= capacity:
            kept[key] = size, False
            used += size
            stored += size
            while used > capacity:
                _, (gone, was_hit) = kept.popitem(last=False)
                used -= gone
                never_hit += gone * (not was_hit)
    never_hit += sum(size for size, was_hit in kept.values() if not was_hit)
    return Waste(stored, never_hit, _beyond(curve, capacity), hits / max(reads, 1))


def _beyond(curve: ByteCurve, capacity: int) -> int:
    """What could be taken away for hardly a hit."""
    sizes = [capacity * step / _STEPS for step in range(_STEPS + 1)]
    ratios = curve.curve(sizes)
    enough = next(size for size, ratio in zip(sizes, ratios, strict=True) if ratio >= ratios[-1] - _HARDLY)
    return round(capacity - enough)


class Unread:
    """Of a running cache: how many of the bytes that were stored left before anybody read them. Bounded.

    A value that is replaced unread counts too. Of more than ``most`` values that wait for a first read, the
    oldest are left out.
    """

    def __init__(self, most: int = 20_000) -> None:
        self.stored = self.never_hit = 0
        self._most = most
        self._waiting: OrderedDict[Hashable, int] = OrderedDict()

    def store(self, key: Hashable, size: int) -> None:
        """A value of so many bytes was stored."""
        self.never_hit += self._waiting.pop(key, 0)
        self.stored += size
        self._waiting[key] = size
        if len(self._waiting) > self._most:
            _, unknown = self._waiting.popitem(last=False)
            self.stored -= unknown

    def read(self, key: Hashable) -> None:
        """It was hit."""
        self._waiting.pop(key, None)

    def settle(self, holds: Callable[[Hashable], bool]) -> None:
        """Count those that the cache does not hold any more; to be called now and then."""
        for key in [key for key in self._waiting if not holds(key)]:
            self.never_hit += self._waiting.pop(key)

    @property
    def share(self) -> float:
        """Never hit, of all that was stored and is read or gone, 0..1."""
        settled = self.stored - sum(self._waiting.values())
        return self.never_hit / settled if settled else 0.0

    def in_words(self) -> str:
        """One sentence for people."""
        return f"{self.never_hit:,} of {self.stored:,} bytes stored left memory before anybody read them."
