"""The policy that does best just now: a small family runs side by side, and the cache follows its leader.

Each member of the family has a shadow, a cache of the same capacity that holds keys and no values, so that
what it would have hit is known and not estimated. The cache follows one of them: it evicts what the leader
does not hold, and so comes to hold what the leader does while nothing of use is thrown away. Another takes
the lead once it has gained as much on the leader as following it is expected to cost, which is a share of
what it holds and the cache does not. That is how one rents skis until the rent has reached their price
(Borodin, Linial and Saks, JACM 1992). Changes in quick succession raise the share: where the members take
turns, as in a loop, it is best to stay with one.

A hit costs one ``append``: hits wait in a short buffer for the next miss, which pays for learning from them.
Where nothing is missed the oldest are lost, for there is nothing to learn. A cache of more than some 4,000
entries has shadows that are shown a sample of the keys, each to the same scale (Waldspurger and others,
FAST 2015), and a policy of its own, which is made anew from the contents when another takes the lead.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Literal

from perfmw.cache.eviction.arc import ARCPolicy
from perfmw.cache.eviction.gdsf import GDSFPolicy
from perfmw.cache.eviction.lfu import LFUPolicy
from perfmw.cache.eviction.lirs import LIRSPolicy
from perfmw.cache.eviction.s3fifo import S3FIFOPolicy
from perfmw.cache.eviction.shadow import Asked, Shadow
from perfmw.cache.eviction.sketch import number_of
from perfmw.cache.eviction.wtinylfu import WTinyLFUPolicy
from perfmw.contracts import EvictionPolicy, EvictionPolicyFactory

Objective = Literal["hits", "bytes", "time"]

FAMILY: dict[str, EvictionPolicyFactory] = {
    "s3fifo": S3FIFOPolicy,
    "arc": ARCPolicy,
    "wtinylfu": WTinyLFUPolicy,
    "gdsf": GDSFPolicy,
    "lirs": LIRSPolicy,
}
"""The first one leads until another has shown to be better."""

_NEVER = math.inf
_WAITING = 256
_MOST_SHADOWED = 4_096
_LEAST_MEMORY, _MEMORY = 1_000, 8
"""Over how many accesses a lead fades: at least, and for each entry of the shadow that has most. The more
there is to fetch anew when another is followed, the larger a lead must be able to grow."""
_SHARE, _MOST_SHARE = 0.1, 1.0
"""Of what the cache would have to fetch anew, how much counts as the price of following another: first, and
where members take turns, as in a loop. Then no turn may pay, for each leads by what it alone holds."""
_CALM = 20
"""After this many times as many accesses as there are entries, the share is half of what it was."""
_DEPTH = 0.5
"""How far a lead may fall below none, in hits an entry: what is better on the whole stands its bad spells."""
_TOLD_FOR = 256
_CHANCE = 5
"""As many hits more than the leader had may be chance."""
_MIX = 0x9E3779B97F4A7C15


class AdaptivePolicy:
    """Follows whichever of ``FAMILY`` does best just now.

    :param objective: what there shall be most of: hits, bytes served from the cache, or time saved, which is
        the cost of what was hit (of unknown cost: one second).
    :param family: who may be followed, by name, in place of ``FAMILY``; the first leads at first.
    """

    lock_free_hits = True

    def __init__(
        self,
        capacity: int,
        objective: Objective = "hits",
        family: Mapping[str, EvictionPolicyFactory] = FAMILY,
    ) -> None:
        self._capacity = capacity
        self._objective = objective
        if objective == "bytes":
            family = {**family, "gdsf": LFUPolicy}
        self._shadows = [Shadow(name, factory, capacity) for name, factory in family.items()]
        self._leader = self._shadows[0]
        self._resident: dict[Hashable, int] | Asked = {}
        self._size_of: Callable[[Hashable], int] | None = None
        self._entries = 0
        self._costs: dict[Hashable, float] = {}  # of those that are known, where time counts
        self._ends: dict[Hashable, float] = {}
        self._most_ends = _WAITING
        self._now = 0.0
        self._spare: OrderedDict[Hashable, None] = OrderedDict()
        """Who is resident and not held by the leader, if that is followed key by key."""
        self._acting: EvictionPolicy | None = None
        """Decides in the leader's place, once that is shown a sample: one of 2 ** ``_thin`` keys."""
        self._thin = 0
        self._share = _SHARE
        self._floor = 0.0
        self._fade = 1 - 1 / _LEAST_MEMORY
        self._since = self.switches = 0
        self._waiting: deque[Hashable] = deque(maxlen=_WAITING)
        self.on_hit: Callable[[Hashable], object] = self._waiting.append

    @property
    def leader(self) -> str:
        """The name of the policy that is followed."""
        return self._leader.name

    # ---- what the cache tells

    def ask_sizes_of(self, size_of: Callable[[Hashable], int]) -> None:
        """Once it is large, ask this for the size of a key, 0 for one that is not resident; keep none."""
        self._size_of = size_of

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        self._learn()
        cost = cost if self._objective == "time" else 0.0
        if cost:
            self._costs[key] = cost
        self._resident[key] = size
        self._entries += 1
        if self._acting is not None:
            self._acting.on_insert(key, size, cost)
        else:
            self._spare[key] = None  # until the leader takes it
        if self._ends and self._ends.get(key, _NEVER) <= self._now:
            for shadow in self._shadows:
                shadow.forget(key)
        self._see(key, size, cost)
        if len(self._leader.sizes) > _MOST_SHADOWED:
            self._thin_out()
            if self._size_of is not None and isinstance(self._resident, dict):
                self._resident = Asked(self._size_of)
                self._resident[key] = size

    def lives(self, key: Hashable, expires: float, now: float) -> None:
        """``key``, just written, expires then, in seconds of the cache's clock.

        What the cache does not hold it cannot expire; a shadow that holds it would not have hit it.
        """
        self._now = now
        if self._thin and not self._samples(key):
            return
        if expires != _NEVER:
            self._ends[key] = expires
        else:
            self._ends.pop(key, None)
        if len(self._ends) > self._most_ends:
            held: set[Hashable] = set().union(*(shadow.sizes for shadow in self._shadows))
            self._ends = {one: end for one, end in self._ends.items() if one in held}
            self._most_ends = 2 * len(self._ends) + _WAITING

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        self._learn()
        if self._acting is not None:
            self._acting.on_update(key, size, cost)  # which may ask for the size until now
        self._resident[key] = size
        for shadow in self._shadows:
            shadow.change(key, size, cost)
        self._note_left()

    def on_remove(self, key: Hashable) -> None:
        self._learn()
        if self._acting is not None:
            self._acting.on_remove(key)
        self._drop(key)
        for shadow in self._shadows:
            shadow.forget(key)

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        if not self._entries:
            raise LookupError("nothing is resident")
        self._learn()
        key = self._choose(incoming, size)
        if key in self._resident:
            self._drop(key)
        else:  # refused: it will not be inserted, but it was asked for
            self._see(key, size, 0.0)
        return key

    def resize(self, capacity: int) -> None:
        self._capacity = capacity
        for shadow in self._shadows:
            shadow.resize(max(1, capacity >> self._thin))
        self._note_left()
        if self._acting is not None:
            self._acting.resize(capacity)

    def close_gaps(self) -> None:
        """Make the tables anew, without the places of those who left."""
        if isinstance(self._resident, dict):
            self._resident = dict(self._resident)
        self._spare = self._spare.copy()
        self._costs, self._ends = dict(self._costs), dict(self._ends)
        for shadow in self._shadows:
            shadow.close_gaps()
        getattr(self._acting, "close_gaps", bool)()

    def keys(self) -> Iterable[Hashable]:
        self._learn()
        if self._acting is not None:
            return list(self._acting.keys())
        held = self._leader.policy.keys()
        return [*self._spare, *(key for key in held if key in self._resident)]

    def __len__(self) -> int:
        return self._entries

    # ---- who leaves

    def _choose(self, incoming: Hashable | None, size: int) -> Hashable:
        if self._acting is not None:
            return self._acting.evict(incoming, size)
        held = incoming in self._leader.sizes  # then it is no newcomer to the leader
        while not self._spare and self._leader.sizes:
            key = self._leader.give_up(None if held else incoming, size)
            if key == incoming or key in self._resident:
                return key
        return next(iter(self._spare))

    def _drop(self, key: Hashable) -> None:
        del self._resident[key]
        self._entries -= 1
        self._spare.pop(key, None)
        self._costs.pop(key, None)

    def _note_left(self) -> None:
        """Who was driven out of the leader is the next to leave the cache."""
        if self._acting is None:
            for key in self._leader.left:
                if key in self._resident:
                    self._spare[key] = None

    # ---- what is learnt

    def _learn(self) -> None:
        """From the hits that wait."""
        waiting, resident, acting = self._waiting, self._resident, self._acting
        while waiting:
            key = waiting.popleft()
            size = resident.get(key)
            if size is not None:
                if acting is not None:
                    with suppress(KeyError):  # of a cache that is being handed over, key by key
                        acting.on_hit(key)
                self._see(key, size, self._costs.get(key, 0.0))
                acting = self._acting

    def _see(self, key: Hashable, size: int, cost: float) -> None:
        """Show an access to all, and follow another if it has gained enough on the leader."""
        if self._thin and not self._samples(key):
            return
        leader = self._leader
        hit = leader.access(key, size, cost)
        if not hit:
            self._note_left()
        if key in leader.sizes:
            self._spare.pop(key, None)
        self._since += 1
        worth = self._worth(size, cost)
        best, fade = leader, self._fade
        for shadow in self._shadows:
            if shadow is not leader:
                if shadow.access(key, size, cost) is not hit:
                    shadow.lead = max(self._floor, shadow.lead + (-worth if hit else worth))
                shadow.lead *= fade
                if shadow.lead > best.lead:
                    best = shadow
        if self._since % _TOLD_FOR == 0:
            entries = len(leader.sizes)
            self._floor = -_DEPTH * self._mean_worth() * entries
            most = max(len(shadow.sizes) for shadow in self._shadows)
            self._fade = 1 - 1 / max(_LEAST_MEMORY, _MEMORY * most)
        if best is not leader:
            self._challenge(best)

    def _challenge(self, best: Shadow) -> None:
        """A price takes long to tell and changes slowly: told where it seems reached, and now and then."""
        if best.lead >= best.price or self._since % _TOLD_FOR == 0:
            best.price = self._price(best)
            if best.lead >= best.price:
                self._follow(best)

    def _worth(self, size: int, cost: float) -> float:
        if self._objective == "hits":
            return 1.0
        return float(size) if self._objective == "bytes" else cost or 1.0

    def _mean_worth(self) -> float:
        if self._objective == "bytes":
            return self._leader.used / max(1, len(self._leader.sizes))
        unknown = self._entries - len(self._costs)
        return (sum(self._costs.values()) + unknown) / max(1, self._entries) if self._costs else 1.0

    def _price(self, shadow: Shadow) -> float:
        """What following ``shadow`` is expected to cost, in the unit of the objective."""
        missing = len(shadow.sizes) - sum(map(self._resident.__contains__, shadow.sizes))
        # many small ones for which few large ones leave count no more than those
        missing = min(missing, self._entries >> self._thin)
        return self._mean_worth() * (_CHANCE + self._share * missing)

    def _follow(self, shadow: Shadow) -> None:
        self.switches += 1
        calm = self._since / (_CALM * max(64, len(shadow.sizes)))
        self._share = min(_MOST_SHARE, max(_SHARE, 2 * self._share * 0.5 ** min(calm, 64)))
        self._since = 0
        order = list(self.keys()) if self._acting is not None else self._in_order()
        self._leader = shadow
        lead = shadow.lead
        for other in self._shadows:
            other.lead = max(self._floor, other.lead - lead)  # the old leader had none
            other.price = 0.0
        if self._acting is not None:
            self._act(order)
        else:
            self._spare = OrderedDict.fromkeys(key for key in order if key not in shadow.sizes)

    def _in_order(self) -> list[Hashable]:
        held = self._leader.policy.keys()
        return [*self._spare, *(key for key in held if key in self._resident and key not in self._spare)]

    # ---- caches too large to be followed key by key

    def _samples(self, key: Hashable) -> bool:
        return not (number_of(key) * _MIX >> 24) & ((1 << self._thin) - 1)

    def _thin_out(self) -> None:
        """From now on show the shadows half as many keys, and have them hold half as much."""
        order = self._in_order() if self._acting is None else []
        self._thin += 1
        leader = self._shadows.index(self._leader)
        capacity = max(1, self._capacity >> self._thin)
        self._shadows = [shadow.thinned(capacity, self._samples) for shadow in self._shadows]
        self._leader = self._shadows[leader]
        if order:
            self._act(order)

    def _act(self, order: list[Hashable]) -> None:
        """A new policy of the leader's kind takes over the contents; the better half counts as read again."""
        acting = self._leader.anew(self._capacity)
        getattr(acting, "ask_sizes_of", bool)(lambda key: self._resident[key])
        getattr(acting, "ask_worth_of", bool)(lambda key: (self._resident[key], self._costs.get(key, 0.0)))
        for key in order:
            acting.on_insert(key, self._resident[key], self._costs.get(key, 0.0))
        for key in order[len(order) // 2 :]:
            acting.on_hit(key)
        self._spare.clear()
        self._acting = acting


ADAPTIVE: dict[str, EvictionPolicyFactory] = {
    "adaptive": AdaptivePolicy,
    "adaptive-bytes": partial(AdaptivePolicy, objective="bytes"),
    "adaptive-time": partial(AdaptivePolicy, objective="time"),
}
"""By the names that ``eviction_policy`` takes."""


def where_it_wins(
    name: str, factory: EvictionPolicyFactory, policies: Mapping[str, EvictionPolicyFactory]
) -> EvictionPolicyFactory:
    """``factory``, or where it names ``rivals``: what follows it only while it does better than they."""
    rivals = [rival for rival in getattr(factory, "rivals", ()) if rival in policies]
    if not rivals:
        return factory
    return partial(AdaptivePolicy, family={**{rival: policies[rival] for rival in rivals}, name: factory})
