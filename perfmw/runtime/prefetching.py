"""Fetches what will probably be asked for, marked as what it is, and out of everybody's way."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from random import random
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from perfmw.http.messages import StoredResponse
    from perfmw.learning import Prefetcher
    from perfmw.runtime.runtime import Runtime

log = logging.getLogger("perfmw.runtime")

MARK: Final = [(b"sec-purpose", b"prefetch")]
"""The field by which browsers mark theirs: an app may tell prefetches from visits by it."""
ATTRIBUTES: Final = {"perfmw.prefetch": True}
"""Of the span of a prefetch."""
_MOST_WAITING = 32
_PAUSE, _BUSY = 0.01, 0.03
_PREFETCH_ENTRIES = 10_000


class Prefetching:
    """One prefetch at a time, while the event loop has nothing to do."""

    def __init__(self, runtime: Runtime) -> None:
        from perfmw.learning.prefetch import Prefetcher

        self._runtime = runtime
        self.prefetcher: Prefetcher = Prefetcher(entries=_PREFETCH_ENTRIES)
        self._waiting: deque[str] = deque(maxlen=_MOST_WAITING)
        self._task: asyncio.Task[Any] | None = None
        self.outcomes: Counter[str] = Counter()
        """What came of them: ``stored``, ``fresh``, ``refused``, ``failed``; ``dropped`` were not made."""

    def seen(self, client: str, key: str, now: float, stored: StoredResponse | None) -> None:
        """A plain GET, without credentials, was made."""
        self.prefetcher.resize(self._room())
        if stored is None:
            self.prefetcher.kept(key, now, now)
        keys = self.prefetcher.observe(client, key, now, len(stored.body) if stored is not None else None)
        if not keys:
            return
        origin = origin_of(key)
        self._waiting.extend(other for other in keys if origin_of(other) == origin)
        if self._waiting and self._task is None and self._runtime.asker is not None:
            self._task = self._runtime.spawn(self._run(), name="perfmw-prefetch")

    def _room(self) -> int:
        """About how many the cache holds; a memory that is full, with nothing behind it, what it has now."""
        cache = self._runtime.cache
        if cache.memory is None or not cache.all_memory or not cache.memory.evictions:
            return _PREFETCH_ENTRIES
        return len(cache.memory)

    def counts(self) -> dict[str, int]:
        """How many had each outcome, and of those in the cache how many were used or left unused."""
        used, settled = self.prefetcher.used, self.prefetcher.settled
        return {**self.outcomes, "used": used, "unused": settled - used}

    def told(self) -> dict[str, Any]:
        """For people and for JSON."""
        return {
            "fetched": self.outcomes["stored"],
            "dropped": self.outcomes["dropped"],
            "outcomes": self.counts(),
            "precision": self.prefetcher.precision if self.prefetcher.settled else None,
            "threshold": self.prefetcher.threshold,
        }

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._fetch(self._waiting.popleft())
        finally:
            self._task = None

    async def _fetch(self, key: str) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(_PAUSE)
        if loop.time() - began > _PAUSE + _BUSY or self._runtime.asker is None:
            self.outcomes["dropped"] += 1 + len(self._waiting)
            self._waiting.clear()
            return
        try:
            self.outcomes[await self._ask(key.removeprefix("GET "))] += 1
        except Exception as error:
            self.outcomes["failed"] += 1
            log.debug("prefetching %s failed: %r", key, error)

    async def _ask(self, url: str) -> str:
        """What came of it. As many get a span as requests do."""
        assert self._runtime.asker is not None
        ask, tracing = self._runtime.asker(), self._runtime.tracing
        if tracing is None or random() >= tracing.ratio:
            return (await ask(url, MARK)).outcome
        from perfmw.profiles.background_span import background_span

        with background_span(tracing, url, ATTRIBUTES) as span:
            answer = await ask(url, MARK)
            span.set_attribute("http.response.status_code", answer.status)
            span.set_attribute("perfmw.prefetch.outcome", answer.outcome)
            return answer.outcome


def origin_of(key: str) -> str:
    """``GET https://host`` of a key."""
    return key[: key.find("/", key.find("//") + 2)]
