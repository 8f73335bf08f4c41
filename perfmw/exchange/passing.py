"""Hit-for-miss: URLs known to be uncacheable, so that nobody queues behind another's answer for them."""

from __future__ import annotations

_MOST = 10_000


class Passing:
    """Remembers for ``seconds`` that a key's response could not be stored. Bounded; times are any one clock's.

    ``until`` maps keys to when that is forgotten; read it, write it by the methods only.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.until: dict[str, float] = {}

    def holds(self, key: str, now: float) -> bool:
        """Whether ``key`` is known to be uncacheable at ``now``."""
        return now < self.until.get(key, 0.0)

    def mark(self, key: str, now: float) -> None:
        """The response of ``key`` could not be stored."""
        if len(self.until) >= _MOST and key not in self.until:
            self._shed(now)
        self.until[key] = now + self._seconds

    def unmark(self, key: str) -> None:
        """The response of ``key`` could be stored."""
        self.until.pop(key, None)

    def _shed(self, now: float) -> None:
        for key in [key for key, until in self.until.items() if until <= now]:
            del self.until[key]
        while len(self.until) >= _MOST:
            del self.until[next(iter(self.until))]
