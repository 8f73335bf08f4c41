"""A clock that stands still until it is told to go on."""

from __future__ import annotations


class FakeClock:
    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class FakeNanoClock:
    """Unix time in nanoseconds; it may stand still or go back."""

    def __init__(self, now: int = 10**18) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now
