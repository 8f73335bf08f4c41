"""A clock that moves only when told to."""

from __future__ import annotations


class FakeClock:
    """Call it for the time, in seconds; ``advance`` moves it. It never goes back."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.now = float(start)

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        """Move on by ``seconds`` and return the new time. Raises ValueError for a negative number."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back: {seconds}")
        self.now += seconds
        return self.now
