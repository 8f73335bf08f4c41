"""Quotas at work: which count a request, from whom, in this process or together with others."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from perfmw.asgi.types import HeaderList, Scope
from perfmw.http.rules import compile_pattern
from perfmw.resources.concurrency import Priority
from perfmw.resources.quotas import Heaviest, Leases, RateQuota, Verdict, WindowQuota, seconds_up
from perfmw.runtime.principals import principal_of
from perfmw.settings import Quota, Settings, SettingsError

if TYPE_CHECKING:
    from perfmw.cache.layers import FarLayer
    from perfmw.runtime.limits import Place


_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Exceeded:
    """Which quota a request exceeds, and what the client is told.

    ``fields`` are those of draft-ietf-httpapi-ratelimit-headers-10; ``retry`` is in seconds.
    """

    name: str
    retry: int
    detail: str
    fields: HeaderList


@dataclass(slots=True)
class Entered:
    """The quotas of one request. ``leave`` has to be called once, when it is over.

    ``fields`` tell the client what is left of them.
    """

    exceeded: Exceeded | None = None
    fields: HeaderList = field(default_factory=list)
    _leave: list[Callable[[], None]] = field(default_factory=list)

    def leave(self) -> None:
        for one in self._leave:
            one()
        self._leave.clear()


class QuotaCount:
    """One quota: who used how much of it. Bounded by ``most`` principals.

    :param layer: where all processes count together; None for a quota of this process.
    """

    def __init__(self, quota: Quota, most: int, layer: FarLayer | None) -> None:
        self.quota = quota
        self.pattern = compile_pattern(quota.path)
        self.policy = _policy(quota)
        """An item of RateLimit-Policy; empty for a quota without a window."""
        self.allowed = 0
        self.refused: Counter[str] = Counter()
        self.heaviest = Heaviest()
        """Who was refused most."""
        self._layer = layer
        self._rate = _counted(quota, most)
        self._leases: LRUCache[str, Leases] = LRUCache(most)
        self._under_way: Counter[str] = Counter()

    async def take(self, key: str, priority: Priority) -> Verdict:
        """One more request of ``key``; after an allowed one call ``give_back`` or ``over``."""
        quota = self.quota
        if quota.at_once is not None and self._under_way[key] >= quota.at_once:
            return Verdict(False, 0, 1.0, 1.0)
        if quota.at_once is not None:
            self._under_way[key] += 1  # before others may come, while the layer is asked
        if self._rate is None:
            return Verdict(True, 0, 0.0, 0.0)
        allowed = False
        try:
            verdict = await self._rated(key, priority)
            allowed = verdict.allowed
            return verdict
        finally:
            if not allowed:
                self.over(key)

    async def _rated(self, key: str, priority: Priority) -> Verdict:
        assert self._rate is not None
        if self._layer is not None:
            shared = await self._together(key, self._layer)
            if shared is not None:
                return shared
        reserve = 0.0 if priority is Priority.HIGH else self.quota.reserve
        verdict = self._rate.take(key, time.monotonic(), reserve)
        if verdict.allowed and self._layer is not None:
            self._leases[key].alone(time.time())
        return verdict

    async def _together(self, key: str, layer: FarLayer) -> Verdict | None:
        """By the common count; None where that cannot be asked, and each process counts for itself."""
        assert self.quota.limit is not None
        leases = self._leases.get(key)
        if leases is None:
            leases = self._leases[key] = Leases(self.quota.limit, self.quota.window)
        while (verdict := leases.take(now := time.time())) is None:
            ask = leases.ask(now)
            name = f"{self.quota.name}:{key}:{ask.number}"
            count = await layer.count(name, ask.tickets, 2.0 * self.quota.window + 1.0)
            if count is None:
                leases.unanswered(time.time(), ask)
                return None
            leases.granted(time.time(), ask, count)
        return verdict

    def give_back(self, key: str) -> None:
        """Another quota refused the request: it counts for none."""
        self.over(key)
        if key in self._leases:
            self._leases[key].give_back()
        elif self._rate is not None:
            self._rate.give_back(key)

    def over(self, key: str) -> None:
        """The request is over."""
        if self.quota.at_once is None:
            return
        self._under_way[key] -= 1
        if self._under_way[key] <= 0:
            del self._under_way[key]

    def exceeded(self, verdict: Verdict) -> Exceeded:
        name, retry = self.quota.name, seconds_up(verdict.retry)
        detail = f"The quota {name!r} is used up. Try again in {retry} s."
        return Exceeded(name, retry, detail, fields_of([(self, verdict)]))

    def state(self, verdict: Verdict) -> str:
        """An item of RateLimit. ``t``: when there is one more; after a request that was let in, all of it."""
        seconds = verdict.reset if verdict.allowed else verdict.retry
        return f'"{self.quota.name}";r={verdict.remaining};t={seconds_up(seconds)}'

    def row(self) -> dict[str, Any]:
        """What it counted, as JSON values. ``heaviest``: who was refused most, by digests."""
        kept = len(self._rate) if self._rate is not None else len(self._under_way)
        return {
            "quota": self.quota.name,
            "scope": self.quota.scope,
            "limit": self.quota.limit,
            "window": self.quota.window,
            "shared": self._layer is not None,
            "allowed": self.allowed,
            "refused": sum(self.refused.values()),
            "refused_by_priority": dict(self.refused),
            "keys": max(kept, len(self._leases)),
            "heaviest": [{"key": key, "refused": times} for key, times in self.heaviest.top(_SHOWN)],
        }


class QuotaBook:
    """All quotas of a runtime.

    :raises SettingsError: a quota is shared, and no layer is.
    """

    def __init__(self, settings: Settings, layers: Sequence[FarLayer]) -> None:
        self._headers = [name.encode() for name in settings.principal_headers]
        self._counts = [
            QuotaCount(quota, settings.max_principals, _layer_of(quota, layers, settings))
            for quota in settings.quotas
        ]

    def for_request(self, method: str, path: bytes, exempt: bool) -> tuple[QuotaCount, ...]:
        """Those that count requests of a method and path."""
        return tuple(
            count
            for count in self._counts
            if (not exempt or count.quota.scope == "global")
            and (not count.quota.methods or method in count.quota.methods)
            and count.pattern.fullmatch(path)
        )

    async def enter(self, place: Place, scope: Scope, priority: Priority) -> Entered:
        """Take one of each quota that counts a request, or of none if one is used up."""
        entered, taken = Entered(), list[tuple[QuotaCount, str, Verdict]]()
        try:
            entered.exceeded = await self._take_all(place, scope, priority, taken)
        except asyncio.CancelledError:
            _give_back(taken)
            raise
        if entered.exceeded is not None:
            _give_back(taken)
            return entered
        for count, key, _ in taken:
            count.allowed += 1
            entered._leave.append(partial(count.over, key))
        told = [(count, verdict) for count, _, verdict in taken if count.quota.fields]
        entered.fields = fields_of(told) if told else []
        return entered

    async def _take_all(
        self, place: Place, scope: Scope, priority: Priority, taken: list[tuple[QuotaCount, str, Verdict]]
    ) -> Exceeded | None:
        for count in place.quotas:
            key = self._key(count.quota, place, scope)
            verdict = await count.take(key, priority)
            if not verdict.allowed:
                count.refused[priority.name.lower()] += 1
                count.heaviest.add(key)
                return count.exceeded(verdict)
            taken.append((count, key, verdict))
        return None

    def _key(self, quota: Quota, place: Place, scope: Scope) -> str:
        if quota.scope == "component":
            return f"{scope['method']} {place.component}"
        return principal_of(scope, self._headers) if quota.scope == "user" else "all"

    def rows(self) -> list[dict[str, Any]]:
        return [count.row() for count in self._counts]


def _give_back(taken: Sequence[tuple[QuotaCount, str, Verdict]]) -> None:
    for count, key, _ in taken:
        count.give_back(key)


def fields_of(verdicts: Sequence[tuple[QuotaCount, Verdict]]) -> HeaderList:
    """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10) of quotas with a window."""
    told = [(count.policy, count.state(verdict)) for count, verdict in verdicts if count.policy]
    if not told:
        return []
    policies, states = zip(*told, strict=True)
    return [
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(states).encode()),
    ]


def _policy(quota: Quota) -> str:
    return f'"{quota.name}";q={quota.limit};w={seconds_up(quota.window)}' if quota.limit is not None else ""


def _counted(quota: Quota, most: int) -> RateQuota | WindowQuota | None:
    """Evenly where the quota names a burst; None where it has no limit."""
    if quota.limit is None:
        return None
    if quota.burst is None:
        return WindowQuota(quota.limit, quota.window, most)
    return RateQuota(quota.limit, quota.window, quota.burst, most)


def _layer_of(quota: Quota, layers: Sequence[FarLayer], settings: Settings) -> FarLayer | None:
    if not quota.shared:
        return None
    if not layers:
        raise SettingsError(
            f"quotas (from {settings.origin('quotas')}): {quota.name!r} is shared, which needs a layer that "
            "processes share, such as layers = ['memory', 'redis']"
        )
    return layers[0]
