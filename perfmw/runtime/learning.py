"""What is learned from the requests of this process, and put to use: lifetimes, prefetches, patterns."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from perfmw.cache.sizes import weigh
from perfmw.learning.workload import Workload
from perfmw.resources.tails import Tails
from perfmw.runtime.prefetching import Prefetching, origin_of
from perfmw.runtime.spaces import is_api, space_of

if TYPE_CHECKING:
    from perfmw.cache.entries import Entry
    from perfmw.contracts import CacheStrategy
    from perfmw.http.messages import StoredResponse
    from perfmw.learning import AdaptiveTTL, UsagePatterns
    from perfmw.runtime.curves import Tuner
    from perfmw.runtime.runtime import Runtime
    from perfmw.runtime.trail import Trail
    from perfmw.settings import CacheRule

    Lookup = Callable[[str], Entry | None]

log = logging.getLogger("perfmw.runtime")

_MOST_KEYS = 20_000


class _Lifetimes:
    """Learned lifetimes of the responses of one rule."""

    def __init__(self, max_stale: float) -> None:
        from perfmw.learning.ttl import AdaptiveTTL

        self.ttl: AdaptiveTTL = AdaptiveTTL(max_stale)
        self.digests: OrderedDict[str, bytes] = OrderedDict()

    def stored(self, key: str, body: bytes, now: float) -> tuple[float, bool]:
        """A response was fetched; returns how long, in seconds, it may be served, and whether it is new."""
        digest = blake2b(body, digest_size=8).digest()
        before, changed = self.digests.get(key), False
        if before is None:
            self.ttl.observe_access(key, now)
            if len(self.digests) >= _MOST_KEYS:
                self.digests.popitem(last=False)
        else:
            changed = digest != before
            self.ttl.observe_refresh(key, now, changed)
        self.digests[key] = digest
        return self.ttl.ttl(key, now), changed


class Learning:
    """All that is learned on line. Nothing of it is on the way of a request unless a setting asks for it."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings
        self._dashboard = settings.dashboard_path if settings.dashboard != "off" else None
        self._runtime, self._spaces = runtime, runtime.spaces
        self.workload = Workload()
        self.lifetimes: dict[str, _Lifetimes] | None = {} if settings.dynamic_ttl else None
        self.prefetching = Prefetching(runtime) if settings.predictive_prefetching else None
        self.patterns: UsagePatterns | None = None
        self.trail: Trail | None = None
        self.tuner: Tuner | None = None
        self.tails = Tails()
        """How long entries are held after their last read; fed where there is a tuner."""
        if settings.usage_pattern_learning or settings.auto_tuning:
            from perfmw.runtime.curves import Curves, Tuner

            self.tuner = Tuner(runtime, Curves(time.time()))
        if settings.usage_pattern_learning:
            from perfmw.learning.patterns import UsagePatterns
            from perfmw.runtime.trail import Trail

            self.patterns, self.trail = UsagePatterns(), Trail()
            self.patterns.starts.start()
            if self.tuner is not None:
                self.tuner.trail = self.trail
        self._of: OrderedDict[str, _Lifetimes] = OrderedDict()
        self._weights: OrderedDict[str, int] = OrderedDict()

    @property
    def watches(self) -> bool:
        """Whether each plain GET is to be told to ``seen``."""
        learners = self.lifetimes, self.prefetching, self.patterns, self.tuner
        return any(one is not None for one in learners)

    def watching(self, fresh: Callable[..., StoredResponse | None]) -> Callable[..., StoredResponse | None]:
        """``fresh`` of the hit path, with every plain GET told to ``seen``."""

        def watched(
            lookup: Callable[[str], Entry | None],
            key: str,
            now: float,
            scope: Any,
            strict: bool,
            rules: Container[str],
        ) -> StoredResponse | None:
            stored = fresh(lookup, key, now, scope, strict, rules)
            try:
                if stored is not None and key in self._of and self._of[key].ttl.doubts(key, now):
                    _outdate(lookup(key), now)
                    stored = None
                self.seen(key, now, scope.get("client"), stored)
            except Exception:
                log.exception("learning from a request failed")
            return stored

        return watched

    def seen(
        self, key: str, now: float, client: tuple[str, int] | None, stored: StoredResponse | None
    ) -> None:
        """A GET without credentials was made for ``key``; ``stored`` was there for it, and fresh."""
        if self._dashboard is not None and _path(key).startswith(self._dashboard):
            return
        if (lifetimes := self._of.get(key)) is not None:
            lifetimes.ttl.observe_access(key, now)
        if self.patterns is not None:
            self.patterns.read(_path(key), now)
        if self.trail is not None:
            self.trail.read(key, now)
        if self.tuner is not None and stored is not None:
            self._size(self.tuner, key, stored, new=False)
            self.tails.read(key, now)
        if self.prefetching is not None and client is not None:
            self.prefetching.seen(client[0], key, now, stored)

    def keeps(self, key: str, stored: StoredResponse, rule: CacheRule | None, now: float) -> None:
        """``stored`` is to be kept; what a rule gave it is shortened to what was learned, where allowed.

        A lifetime that the app stated is its own, and is left as it is.
        """
        self._shorten(key, stored, rule, now)
        if self.tuner is not None:
            self._size(self.tuner, key, stored, new=True)
            self.tails.stored(key, self._weights[key], stored.fresh_until, now)
        if self.trail is not None:
            self.trail.stored(key, stored.body, now)
        if self.prefetching is not None:
            self.prefetching.prefetcher.kept(key, now, stored.fresh_until)

    def _shorten(self, key: str, stored: StoredResponse, rule: CacheRule | None, now: float) -> None:
        if self.lifetimes is None or rule is None or rule.max_stale is None or not stored.rule:
            return
        if stored.vary or stored.range is not None:
            return
        lifetimes = self.lifetimes.get(stored.rule)
        if lifetimes is None:
            lifetimes = self.lifetimes[stored.rule] = _Lifetimes(rule.max_stale)
        self._of[key] = lifetimes
        if len(self._of) > _MOST_KEYS:
            self._of.popitem(last=False)
        seconds, changed = lifetimes.stored(key, stored.body, now)
        if changed and self.patterns is not None:
            self.patterns.effects.change(_path(key), now)
        stored.lifetime = min(stored.lifetime, seconds)
        stored.fresh_until = min(stored.fresh_until, now + seconds)

    def wrote(self, path: str, keys: Sequence[str], now: float) -> None:
        """An unsafe request to ``path`` succeeded, and ``keys`` were invalidated by it."""
        if self.patterns is not None:
            self.patterns.effects.write(path, now)
        for key in keys:
            if (lifetimes := self._of.get(key)) is not None:
                lifetimes.ttl.observe_change(key, now)

    def tick(self, now: float) -> None:
        """The runtime's timer calls it; ``now`` in unix seconds."""
        if self.tuner is None:
            return
        try:
            self.tuner.tick(now)
            self.tails.tick(now, self._holds)
        except Exception:
            log.exception("tuning the memory failed")

    def _holds(self, key: str) -> bool:
        caches = self._spaces.caches.values()
        return any(one.memory is not None and key in one.memory for one in caches)

    def _size(self, tuner: Tuner, key: str, stored: StoredResponse, *, new: bool) -> None:
        """A page was read, from the cache or, if it is ``new``, into it."""
        size = self._weights.get(key) if not new else None
        if size is None:
            size = self._weights[key] = weigh(key, stored)
            if len(self._weights) > _MOST_KEYS:
                self._weights.popitem(last=False)
        space, api = space_of(self._spaces, stored), is_api(stored)
        tuner.page(space, key, _path(key), size, api=api, new=new)

    async def strategy(self) -> CacheStrategy:
        """A cache strategy for what was learned of the running cache, worked out in a thread.

        :raises ValueError: nothing that can be cached was read so far.
        :raises RuntimeError: nobody remembers reads: it takes ``usage_pattern_learning``.
        """
        from perfmw.runtime.strategy import strategy_of

        return await strategy_of(self._runtime)

    def prefetches(self) -> dict[str, int]:
        """How many prefetches had each outcome; empty where there are none."""
        return self.prefetching.counts() if self.prefetching is not None else {}

    def waste(self) -> dict[str, int]:
        """Bytes of pages that were stored in memory, and of these never hit; empty where nobody watches."""
        if self.tuner is None:
            return {}
        return {"watched": self.tuner.unread.stored, "never_hit": self.tuner.unread.never_hit}

    def told(self) -> dict[str, Any]:
        """What was learned, for people and for JSON."""
        found: dict[str, Any] = {}
        if self.lifetimes is not None:
            found["lifetimes"] = {
                name: {"keys": one.ttl.size, "stale_share": one.ttl.stale_share, "hours": one.ttl.hours}
                for name, one in self.lifetimes.items()
            }
        if self.prefetching is not None:
            found["prefetching"] = self.prefetching.told()
        if self.patterns is not None:
            found["patterns"] = self.patterns.summary().in_words()
        if self.tuner is not None:
            found["curves"] = self.tuner.told(time.time())
        return found


def _outdate(entry: Entry | None, now: float) -> None:
    """What is held needs to be asked for again from now on."""
    held = entry.value if entry is not None else None
    for stored in (held, getattr(held, "coded", None)):  # a compressed one beside the plain one
        if stored is not None:
            stored.fresh_until = min(stored.fresh_until, now)


def _path(key: str) -> str:
    return key[len(origin_of(key)) :]
