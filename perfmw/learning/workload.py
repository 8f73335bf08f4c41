"""What each route's responses are like: do they repeat, change, set cookies, differ between people?

The evidence comes from a spatial sample: a URL is either watched always or never, decided by a hash of
its key, so that the life of a watched URL is seen whole (SHARDS: Waldspurger et al., FAST 2015).
"""

from __future__ import annotations

import secrets
from collections import deque
from hashlib import blake2b
from statistics import median

from perfmw.contracts import RouteObservation

HASH_BITS = 24
HASH_MASK = (1 << HASH_BITS) - 1
MAX_EXAMPLES = 3
FORGET_AT = 8_192
"""Counts of a route are halved at this many samples, so that old evidence fades."""


class _Key:
    """One watched URL: when it may be sampled next, and its last answers."""

    __slots__ = ("anonymous", "anonymous_at", "due", "other", "principal", "route", "seen_at")

    def __init__(self, route: _Route) -> None:
        self.route = route
        self.due = 0.0
        self.seen_at: float | None = None
        self.anonymous: bytes | None = None
        self.anonymous_at = 0.0
        self.principal: bytes | None = None
        self.other: bytes | None = None


class _Route:
    __slots__ = (
        "changes",
        "cookies",
        "equal_pairs",
        "examples",
        "exposure",
        "first",
        "gaps",
        "last",
        "name",
        "pairs",
        "personal",
        "repeats",
        "samples",
        "urls",
    )

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.first = self.last = now
        self.samples = self.urls = self.repeats = self.changes = 0
        self.personal = self.cookies = self.pairs = self.equal_pairs = 0
        self.exposure = 0.0
        self.gaps: deque[float] = deque(maxlen=64)
        self.examples: list[str] = []

    def halve(self) -> None:
        """Fade: shares stay what they are; a change once seen stays counted while any is."""
        self.samples //= 2
        self.repeats //= 2
        self.changes = (self.changes + 1) // 2
        self.personal //= 2
        self.cookies = (self.cookies + 1) // 2
        self.pairs //= 2
        self.equal_pairs = min(self.equal_pairs // 2, self.pairs)
        self.exposure /= 2


class Workload:
    """Watches a bounded sample of URLs. Pure: ``now`` is an argument, in seconds of any steady clock.

    :param max_keys: at most this many URLs are watched; the sampling rate falls to keep to it.
    :param max_routes: routes beyond this number are not observed.
    :param interval: seconds between two samples of one URL.
    :param horizon: a URL not asked for this long is forgotten.
    :param salt: keys the hash of principals; a random one by default.
    """

    def __init__(
        self,
        *,
        max_keys: int = 4_096,
        max_routes: int = 1_000,
        interval: float = 1.0,
        horizon: float = 900.0,
        salt: bytes | None = None,
    ) -> None:
        if max_keys < 2 or max_routes < 1:
            raise ValueError("max_keys must be at least 2 and max_routes at least 1")
        self._max_keys = max_keys
        self._max_routes = max_routes
        self._interval = interval
        self._horizon = horizon
        self._salt = secrets.token_bytes(16) if salt is None else salt
        self._threshold = HASH_MASK + 1
        self._keys: dict[str, _Key] = {}
        self._routes: dict[str, _Route] = {}

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def rate(self) -> float:
        """The share of URLs that are watched, 0..1."""
        return self._threshold / (HASH_MASK + 1)

    def wants(self, key: str, now: float) -> bool:
        """Whether the answer for ``key`` should be digested and observed now."""
        if hash(key) & HASH_MASK >= self._threshold:
            return False
        known = self._keys.get(key)
        return known is None or now >= known.due

    def observe(
        self,
        route: str,
        key: str,
        path: str,
        digest: bytes,
        *,
        personal: bool,
        set_cookie: bool,
        now: float,
        principal: bytes | None = None,
    ) -> None:
        """Take in one 200 answer to a GET that the app itself gave. One outside the sample is ignored.

        :param digest: a hash of the body.
        :param personal: the request carried Cookie or Authorization.
        :param principal: what tells one person from another; only a salted hash of it is kept.
        """
        if key not in self._keys and hash(key) & HASH_MASK >= self._threshold:
            return
        facts = self._route(route, now)
        if facts is None:
            return
        known = self._key(key, facts)
        _count(facts, personal=personal, set_cookie=set_cookie, now=now)
        if known.seen_at is not None:
            facts.gaps.append(now - known.seen_at)
        known.seen_at = now
        known.due = now + self._interval
        if personal:
            self._personal(facts, known, digest, principal)
        else:
            _anonymous(facts, known, digest, now)
            if path not in facts.examples and len(facts.examples) < MAX_EXAMPLES:
                facts.examples.append(path)
        if len(self._keys) > self._max_keys:
            self._shrink(now)

    def observations(self, now: float | None = None) -> list[RouteObservation]:
        """The evidence by route. The caller fills in ``requests``, ``hits`` and ``reasons``.

        With ``now``, URLs not seen for the horizon are forgotten first, and the rate may rise again.
        """
        if now is not None:
            self._age(now)
        return [_observation(facts, self.rate) for facts in self._routes.values()]

    def _route(self, name: str, now: float) -> _Route | None:
        facts = self._routes.get(name)
        if facts is None and len(self._routes) < self._max_routes:
            facts = self._routes[name] = _Route(name, now)
        return facts

    def _key(self, key: str, facts: _Route) -> _Key:
        known = self._keys.get(key)
        if known is None or known.route is not facts:
            if known is not None:
                known.route.urls -= 1
            known = self._keys[key] = _Key(facts)
            facts.urls += 1
        return known

    def _personal(self, facts: _Route, known: _Key, digest: bytes, principal: bytes | None) -> None:
        who = blake2b(principal or b"", key=self._salt, digest_size=8).digest()
        if known.anonymous is not None:
            _pair(facts, known.anonymous == digest)
        if known.other is not None and principal is not None and known.principal != who:
            _pair(facts, known.other == digest)
        known.principal = who
        known.other = digest

    def _shrink(self, now: float) -> None:
        """Forget what is idle; if that is not enough, watch a smaller share of the URLs."""
        self._forget_idle(now)
        while len(self._keys) > self._max_keys * 3 // 4:
            self._threshold = max(1, self._threshold * 3 // 4)
            gone = [key for key in self._keys if hash(key) & HASH_MASK >= self._threshold]
            for key in gone:
                self._forget(key)
            if self._threshold == 1:  # every key left hashes alike: drop the oldest
                for key in list(self._keys)[: len(self._keys) // 2]:
                    self._forget(key)

    def _age(self, now: float) -> None:
        self._forget_idle(now)
        if len(self._keys) < self._max_keys // 4 and self._threshold <= HASH_MASK:
            self._threshold = min(HASH_MASK + 1, self._threshold * 2)

    def _forget_idle(self, now: float) -> None:
        limit = now - self._horizon
        for key in [key for key, known in self._keys.items() if (known.seen_at or limit) < limit]:
            self._forget(key)

    def _forget(self, key: str) -> None:
        self._keys.pop(key).route.urls -= 1


def _count(facts: _Route, *, personal: bool, set_cookie: bool, now: float) -> None:
    if facts.samples >= FORGET_AT:
        facts.halve()
    facts.samples += 1
    facts.personal += personal
    facts.cookies += set_cookie
    facts.last = max(facts.last, now)


def _anonymous(facts: _Route, known: _Key, digest: bytes, now: float) -> None:
    if known.anonymous is not None:
        facts.repeats += 1
        facts.changes += known.anonymous != digest
        facts.exposure += max(0.0, now - known.anonymous_at)
    if known.other is not None:
        _pair(facts, known.other == digest)
    known.anonymous = digest
    known.anonymous_at = now


def _pair(facts: _Route, equal: bool) -> None:
    facts.pairs += 1
    facts.equal_pairs += equal


def _observation(facts: _Route, rate: float) -> RouteObservation:
    return RouteObservation(
        route=facts.name,
        samples=facts.samples,
        distinct_urls=facts.urls,
        repeats=facts.repeats,
        equal_repeats=max(0, facts.repeats - facts.changes),
        personal=facts.personal,
        cookies_set=facts.cookies,
        interval=median(facts.gaps) if facts.gaps else None,
        example_paths=tuple(facts.examples),
        exposure=facts.exposure,
        watched=facts.last - facts.first,
        sampled=rate,
        principal_pairs=facts.pairs,
        equal_principal_pairs=facts.equal_pairs,
    )
