"""Hit-for-miss: URLs known to be uncacheable, so that nobody queues behind another's answer for them."""

from __future__ import annotations

_MOST = 10_000


class Passing:
    """Remembers for ``seconds`` that a key's response could not be stored. Bounded; times are any one clock's."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[str, float] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._until

    def holds(self, key: str, now: float) -> bool:
        """Whether ``key`` is known to be uncacheable at ``now``."""
        until = self._until.get(key)
        return until is not None and now < until

    def mark(self, key: str, now: float) -> None:
        until = self._until
        if key not in until and len(until) >= _MOST:
            self._shed(now)
        until[key] = now + self._seconds

    def unmark(self, key: str) -> None:
        self._until.pop(key, None)

    def _shed(self, now: float) -> None:
        self._until = {key: until for key, until in self._until.items() if until > now}
        while len(self._until) >= _MOST:
            del self._until[next(iter(self._until))]
