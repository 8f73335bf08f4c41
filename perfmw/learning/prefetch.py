"""What will be asked for next? A dependency graph over what each client asks for, and each key's own rate.

The graph is Padmanabhan and Mogul's ("Using predictive prefetching to improve World Wide Web latency",
ACM SIGCOMM CCR 26, 1996). What makes it good enough for pages is that a value prefetched for one client
is there for all: it is also used when anybody else asks for it while it is fresh.
"""

from __future__ import annotations

import math
import secrets
from collections import OrderedDict
from hashlib import blake2b

from perfmw.contracts import PrefetchingRule

_BUCKETS = 20
_TRUST = 4.0
_REMEMBERED = 400.0
_START, _LEAST, _MOST = 0.35, 0.28, 0.95
_STEP = 0.005
_FADE_EVERY = 2_048
_LEAST_SPAN = 60.0
_EMBEDDED_WITHIN = 2.0
_FORGET_BURSTS = 0.002
_FORGET_AGES = 0.02
_MAX_AT_ONCE = 8
_MOST_FACTOR = 1.5
_PLAIN, _BURSTS = 0.57, 0.23
_ALL_BURSTS = 0.2
_WASTE = 0.12


class _Node:
    """A key: how often it was asked for, what came after it, and what is known of it in the cache."""

    __slots__ = ("bucket", "count", "edges", "fresh_until", "key", "mass", "size", "touched", "used")

    def __init__(self, key: str, now: float) -> None:
        self.key = key
        self.count = 0
        self.edges: dict[_Node, int] = {}
        self.mass = 0.0
        """Requests, each counting less the longer ago it was; as of ``touched``."""
        self.touched = now
        self.size = 0
        self.fresh_until = -math.inf
        self.used = now
        self.bucket = -1
        """How likely its prefetch seemed to be used; -1 if it was not prefetched, or the answer is known."""


class _Precision:
    """Which share of prefetches is used, by how likely each seemed; and what is therefore likely enough."""

    def __init__(self) -> None:
        self._issued = [_TRUST] * _BUCKETS
        self._used = [_TRUST * (at + 0.5) / _BUCKETS for at in range(_BUCKETS)]
        self.factors = [1.0] * _BUCKETS
        self.threshold = _START
        self.bursts = 0.0
        self.issued = self.used = 0

    @property
    def wanted(self) -> float:
        """The share that should be used. What is embedded in pages follows at once and can be known; where
        requests are far apart, people choose what to ask for, and every second prefetch wasted is good."""
        return _PLAIN + _BURSTS * min(1.0, self.bursts / _ALL_BURSTS)

    def settle(self, bucket: int, *, used: bool) -> None:
        self.issued += 1
        self.used += used
        self._issued[bucket] += 1
        self._used[bucket] += used
        if self._issued[bucket] > _REMEMBERED:
            self._halve(bucket)
        self._refresh(bucket)
        self.threshold = min(max(self.threshold + _STEP * (self.wanted - used), _LEAST), _MOST)

    def fade(self) -> None:
        """Time passed: what failed once may be tried again."""
        for bucket in range(_BUCKETS):
            if self._issued[bucket] > 2 * _TRUST:
                self._halve(bucket)
            else:
                expected = (bucket + 0.5) / _BUCKETS * self._issued[bucket]
                self._used[bucket] += (expected - self._used[bucket]) / 4
            self._refresh(bucket)
        if self.threshold > 2 * _START:
            self.threshold -= _STEP

    def _halve(self, bucket: int) -> None:
        self._issued[bucket] /= 2
        self._used[bucket] /= 2

    def _refresh(self, bucket: int) -> None:
        seemed = (bucket + 0.5) / _BUCKETS
        self.factors[bucket] = min(max(self._used[bucket] / self._issued[bucket] / seemed, 0.3), _MOST_FACTOR)


class Prefetcher:
    """Tells, request by request, which keys are worth fetching before anybody asks for them.

    A key is, when it is likely enough to be asked for while it would be in the cache: by the same client,
    as after a request like this before, or by anybody. How likely is enough follows from the share of
    prefetches that were used, so that it backs off by itself where it guesses badly. To know which were,
    it keeps the keys (not the values) of a cache like the caller's.

    Clients are known by a keyed hash only, with a key made for the process. An observation costs some
    8 µs. Times are seconds of any clock that does not go back.

    :param ttl: how long, in seconds, the caller's cache keeps a value.
    :param entries: how many it holds; the smaller this is, the fewer prefetches.
    :param window: a request is linked to the same client's requests of this many seconds before it,
    :param lookback: at most so many of them.
    :param support: a link must have been seen this often to count.
    :param max_keys: keys of the graph; half are forgotten, those not used for longest, beyond it.
    :param fan: links kept for a key; up to twice as many for a while.
    :param max_clients: clients remembered.
    :param memory: seconds over which a key's own rate is taken.
    :raises ValueError: for a bound below 1 or a time that is not above 0.
    """

    def __init__(
        self,
        *,
        ttl: float = 300.0,
        entries: int = 100,
        window: float = 120.0,
        lookback: int = 8,
        support: int = 2,
        max_keys: int = 10_000,
        fan: int = 16,
        max_clients: int = 10_000,
        memory: float = 7_200.0,
    ) -> None:
        if (
            min(entries, lookback, support, max_keys - 1, fan, max_clients) < 1
            or min(ttl, window, memory) <= 0
        ):
            raise ValueError("bounds must be at least 1 (max_keys 2) and times above 0")
        self._ttl, self._entries = ttl, entries
        self._window, self._lookback, self._support = window, lookback, support
        self._max_keys, self._fan, self._max_clients, self._memory = max_keys, fan, max_clients, memory
        self._secret = secrets.token_bytes(16)
        self._nodes: dict[str, _Node] = {}
        self._clients: OrderedDict[bytes, dict[_Node, float]] = OrderedDict()
        self._cached: OrderedDict[_Node, None] = OrderedDict()
        self._stay = ttl
        self._precision = _Precision()
        self._first: float | None = None
        self._observed = 0
        self._asked = self._wasted = 0.0

    @property
    def size(self) -> int:
        """The keys remembered."""
        return len(self._nodes)

    @property
    def threshold(self) -> float:
        """How likely (0..1) a key must be used to be prefetched; it moves with what was used."""
        return self._precision.threshold

    @property
    def precision(self) -> float:
        """The share (0..1) of settled prefetches that were used; 0.0 before the first."""
        return self._precision.used / max(self._precision.issued, 1)

    @property
    def settled(self) -> int:
        """Prefetches of which it is known whether they were used."""
        return self._precision.issued

    @property
    def used(self) -> int:
        """Those of them that were."""
        return self._precision.used

    def rules(self, most: int = 100, confidence: float = 0.5) -> list[PrefetchingRule]:
        """What followed what at least as often as ``confidence`` (0..1) says, the most frequent first."""
        found = [
            (times, node, other, min(1.0, times / node.count))
            for node in self._nodes.values()
            if node.count > self._support
            for other, times in node.edges.items()
            if times > self._support and times >= confidence * node.count
        ]
        found.sort(key=lambda one: -one[0])
        return [PrefetchingRule(node.key, other.key, share) for _, node, other, share in found[:most]]

    def observe(self, client: str, key: str, now: float, size: int | None = None) -> list[str]:
        """Take in a request; returns the keys worth fetching now, the likeliest first.

        Keys that the cache holds may be among them.

        :param size: bytes of the answer; with sizes, what is wasted is kept small in bytes too.
        """
        if self._first is None:
            self._first = now
        self._observed += 1
        if not self._observed % _FADE_EVERY:
            self._precision.fade()
        node = self._nodes.get(key)
        if node is None:
            node = self._add(key, now)
        if size is not None:
            node.size = size
        self._read(node, now)
        node.mass = node.mass * math.exp((node.touched - now) / self._memory) + 1.0
        node.touched = now
        self._link(client, node, now)
        return self._choose(node, now) if node.count > self._support else []

    def kept(self, key: str, now: float, until: float) -> None:
        """The caller's cache has ``key``, fresh until then; or no more, with ``until`` not after ``now``.

        Without being told, it is taken to be so for ``ttl`` seconds after a request.
        """
        node = self._nodes.get(key)
        if node is not None and node in self._cached:
            node.fresh_until = until
            if until > now:
                self._ttl += _FORGET_AGES * (until - now - self._ttl)

    def resize(self, entries: int) -> None:
        """The caller's cache holds so many now; at least 1."""
        self._entries = max(1, entries)

    def _read(self, node: _Node, now: float) -> None:
        """What the caller's cache does with this request."""
        if node.fresh_until > now:
            if node.bucket >= 0:
                self._precision.settle(node.bucket, used=True)
                node.bucket = -1
            node.used = now
            self._cached.move_to_end(node)
        else:
            self._asked += node.size
            self._put(node, now, -1)

    def _put(self, node: _Node, now: float, bucket: int) -> None:
        self._leave(node)
        node.fresh_until = now + self._ttl
        node.bucket = bucket
        node.used = now
        cached = self._cached
        cached[node] = None
        cached.move_to_end(node)
        while len(cached) > self._entries:
            oldest, _ = cached.popitem(last=False)
            oldest.fresh_until = -math.inf
            self._leave(oldest)
            self._stay += _FORGET_AGES * (min(now - oldest.used, self._ttl) - self._stay)

    def _leave(self, node: _Node) -> None:
        if node.bucket >= 0:
            self._precision.settle(node.bucket, used=False)
            self._wasted += node.size
            node.bucket = -1

    def _link(self, client: str, node: _Node, now: float) -> None:
        # a client is never stored in clear
        who = blake2b(str(client).encode(errors="surrogatepass"), key=self._secret, digest_size=8).digest()
        history = self._clients.get(who)
        if history is None:
            history = self._clients[who] = {}
            if len(self._clients) > self._max_clients:
                self._clients.popitem(last=False)
            self._burst(False)
        else:
            self._clients.move_to_end(who)
            self._burst(bool(history) and now - next(reversed(history.values())) <= _EMBEDDED_WITHIN)
            since = now - self._window
            while history and (len(history) >= self._lookback or next(iter(history.values())) < since):
                del history[next(iter(history))]
        last = history.pop(node, None)
        if last is None or now - last > _EMBEDDED_WITHIN:
            node.count += 1
            limit = 2 * self._fan
            for before, at in history.items():
                if last is not None and at <= last:
                    continue  # it was counted after this one already
                edges = before.edges
                edges[node] = edges.get(node, 0) + 1
                if len(edges) > limit:
                    before.edges = dict(sorted(edges.items(), key=lambda edge: -edge[1])[: self._fan])
        history[node] = now

    def _burst(self, embedded: bool) -> None:
        precision = self._precision
        precision.bursts += _FORGET_BURSTS * (embedded - precision.bursts)

    def _choose(self, node: _Node, now: float) -> list[str]:
        precision, support = self._precision, self._support
        factors, threshold = precision.factors, precision.threshold
        span = min(max(now - (self._first or 0.0), _LEAST_SPAN), self._memory)
        stay = min(self._stay, self._ttl) / span
        chosen: list[tuple[float, int, _Node]] = []
        # count, and not count - 1: as if the guess had failed once
        scale, hopeless = 1.0 / node.count, threshold / _MOST_FACTOR
        for other, times in node.edges.items():
            if times < support or other.fresh_until > now:
                continue
            sure = times * scale
            if sure + other.mass * stay < hopeless:
                continue
            others = other.mass * math.exp((other.touched - now) / self._memory) * stay
            likely = 1.0 - (1.0 - (sure if sure < 0.99 else 0.99)) * math.exp(-others)
            bucket = int(likely * _BUCKETS)
            if likely * factors[bucket] >= threshold:
                chosen.append((likely, bucket, other))
        if not chosen:
            return []
        chosen.sort(key=lambda one: -one[0])
        return [
            other.key
            for likely, bucket, other in chosen[:_MAX_AT_ONCE]
            if self._issue(likely, bucket, other, now)
        ]

    def _issue(self, likely: float, bucket: int, node: _Node, now: float) -> bool:
        if node.size and self._wasted + node.size * (1.0 - likely) > _WASTE * self._asked:
            return False
        self._asked += node.size
        self._put(node, now, bucket)
        return True

    def _add(self, key: str, now: float) -> _Node:
        if len(self._nodes) >= self._max_keys:
            self._forget()
        node = self._nodes[key] = _Node(key, now)
        return node

    def _forget(self) -> None:
        """Half of the keys at once; links to the forgotten go with them."""
        kept = sorted(self._nodes.values(), key=lambda node: node.touched)[len(self._nodes) // 2 :]
        alive = set(kept)
        for node in kept:
            node.edges = {other: times for other, times in node.edges.items() if other in alive}
        for history in self._clients.values():
            for node in [node for node in history if node not in alive]:
                del history[node]
        for node in [node for node in self._cached if node not in alive]:
            del self._cached[node]
            self._leave(node)
        self._nodes = {node.key: node for node in kept}
