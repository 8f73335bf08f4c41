"""Which writes are followed by changes of which reads, and what is asked for first after each start."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque

from perfmw.contracts import InvalidationRule, WarmupStrategy
from perfmw.learning.keypatterns import key_pattern

_LEAST_WRITES = 4
_LEAST_CONFIDENCE = 0.5
_LEAST_LIFT = 2.0
_MOST_PENDING = 256
_MOST_STARTS = 32


class WriteEffects:
    """Which patterns of reads change within some seconds after a write, more often than by chance.

    :param window: seconds that an effect may take to be seen.
    :param max_patterns: of writes; further ones are not learned.
    """

    def __init__(self, window: float = 30.0, max_patterns: int = 200) -> None:
        self._window, self._max = window, max_patterns
        self._writes: Counter[str] = Counter()
        self._followed: dict[str, Counter[str]] = {}
        self._changes: Counter[str] = Counter()
        self._pending: deque[tuple[float, str, set[str]]] = deque(maxlen=_MOST_PENDING)
        self._first: float | None = None
        self._last = 0.0

    def write(self, key: str, now: float) -> None:
        """A write (POST, PUT, PATCH, DELETE) to ``key`` succeeded."""
        pattern = key_pattern(key)
        self._clock(now)
        if pattern in self._writes or len(self._writes) < self._max:
            self._writes[pattern] += 1
            self._pending.append((now, pattern, set()))

    def change(self, key: str, now: float) -> None:
        """What a read of ``key`` gives was found to have changed."""
        pattern = key_pattern(key)
        self._clock(now)
        if pattern not in self._changes and len(self._changes) >= self._max:
            return
        self._changes[pattern] += 1
        while self._pending and now - self._pending[0][0] > self._window:
            self._pending.popleft()
        for _, write, seen in self._pending:
            if pattern not in seen:
                seen.add(pattern)
                self._followed.setdefault(write, Counter())[pattern] += 1

    def rules(self) -> list[InvalidationRule]:
        """Writes and what they invalidate, the surest first."""
        found = [
            InvalidationRule(write, read, times / self._writes[write])
            for write, followed in self._followed.items()
            for read, times in followed.items()
            if self._writes[write] >= _LEAST_WRITES and self._counts(write, read, times)
        ]
        return sorted(found, key=lambda rule: -rule.confidence)

    def _counts(self, write: str, read: str, times: int) -> bool:
        share = times / self._writes[write]
        span = max(self._last - (self._first or 0.0), self._window)
        by_chance = min(1.0, self._changes[read] * self._window / span)
        return share >= _LEAST_CONFIDENCE and share >= _LEAST_LIFT * by_chance

    def _clock(self, now: float) -> None:
        if self._first is None:
            self._first = now
        self._last = max(self._last, now)


class Starts:
    """What is asked for first after each start of the app, start after start.

    :param first: so many distinct keys after a start count.
    """

    def __init__(self, first: int = 50) -> None:
        self._first = first
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._now: set[str] | None = None
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        self._now = set()
        if self.starts > _MOST_STARTS:
            self.starts //= 2
            self._seen = OrderedDict((key, times // 2) for key, times in self._seen.items() if times > 1)

    def read(self, key: str) -> None:
        if self._now is None or key in self._now:
            return
        self._now.add(key)
        self._seen[key] = self._seen.get(key, 0) + 1
        if len(self._seen) > 20 * self._first:
            del self._seen[min(self._seen, key=lambda one: self._seen[one])]
        if len(self._now) >= self._first:
            self._now = None

    def warmup(self) -> WarmupStrategy | None:
        """What at least half of the starts began with; None before the second start."""
        if self.starts < 2:
            return None
        keys = [key for key, times in self._seen.items() if times * 2 >= self.starts and times > 1]
        keys.sort(key=lambda key: -self._seen[key])
        return WarmupStrategy("first after a start", keys) if keys else None
