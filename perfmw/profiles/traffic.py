"""What the cache did for one target beside its latencies: bytes, time saved, stale answers, fills."""

from __future__ import annotations

from dataclasses import dataclass

Numbers = tuple[int, int, float, int, int, int]


@dataclass(slots=True)
class Traffic:
    """Sums that a request changes by plain additions; nothing here reads a clock.

    ``hit_bytes``: bytes of bodies that the cache sent; ``stored_bytes``: of bodies that it kept for later;
    ``saved``: seconds that the app took for what the cache then answered with; ``stale``: answers past their
    freshness; ``collapsed``: requests that waited for another's answer and got it; ``fills``: responses kept.
    """

    hit_bytes: int = 0
    stored_bytes: int = 0
    saved: float = 0.0
    stale: int = 0
    collapsed: int = 0
    fills: int = 0

    def add(self, other: Traffic) -> None:
        """Count what ``other`` counted as well."""
        self.hit_bytes += other.hit_bytes
        self.stored_bytes += other.stored_bytes
        self.saved += other.saved
        self.stale += other.stale
        self.collapsed += other.collapsed
        self.fills += other.fills

    def __sub__(self, earlier: Traffic) -> Traffic:
        """What was counted since ``earlier``, never less than nothing."""
        return Traffic(
            max(0, self.hit_bytes - earlier.hit_bytes),
            max(0, self.stored_bytes - earlier.stored_bytes),
            max(0.0, self.saved - earlier.saved),
            max(0, self.stale - earlier.stale),
            max(0, self.collapsed - earlier.collapsed),
            max(0, self.fills - earlier.fills),
        )

    def copy(self) -> Traffic:
        return Traffic(*self.numbers())

    def numbers(self) -> Numbers:
        """All of it as a tuple, in the order of the fields: ``Traffic(*numbers)`` is an equal one."""
        return self.hit_bytes, self.stored_bytes, self.saved, self.stale, self.collapsed, self.fills

    def __bool__(self) -> bool:
        return any(self.numbers())
