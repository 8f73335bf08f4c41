"""One memory in parts: each kind of key has a share, and who is furthest over it gives way."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import chain

from perfmw.contracts import EvictionPolicy, EvictionPolicyFactory

_OTHERS = ""
_NOTHING = 1e-12
IN_PARTS = " in parts"
"""How the name of such a policy ends."""


class _Part:
    __slots__ = ("policy", "share", "used")

    def __init__(self, policy: EvictionPolicy, share: float) -> None:
        self.policy, self.share = policy, share
        self.used = 0

    def over(self, more: int) -> float:
        """How many times its share it has, with so much more; relative, for entries may be what is short."""
        return (self.used + more) / (self.share or _NOTHING)


class PartedPolicy:
    """Another policy for each kind of key, over contents that stay where they are.

    A share is not a wall: room that its owner does not use is there for the others until the owner wants it.
    Kinds without a share have one in common, of nothing, so that they leave first.

    :param shares: of the capacity, 0..1, by kind.
    :param kind_of: the kind of a key; asked once, when it is inserted.
    :param make: the policy within each part.
    """

    def __init__(
        self,
        capacity: int,
        shares: Mapping[str, float],
        kind_of: Callable[[Hashable], str],
        make: EvictionPolicyFactory,
    ) -> None:
        self._capacity = capacity
        self._kind_of = kind_of
        self._parts = {
            name: _Part(make(max(1, int(capacity * share))), share)
            for name, share in {_OTHERS: 0.0, **shares}.items()
        }
        self._places: dict[Hashable, tuple[_Part, int]] = {}

    def on_hit(self, key: Hashable) -> None:
        self._places[key][0].policy.on_hit(key)

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        part = self._part_of(key)
        self._places[key] = part, size
        part.used += size
        part.policy.on_insert(key, size, cost)

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        part, before = self._places[key]
        self._places[key] = part, size
        part.used += size - before
        part.policy.on_update(key, size, cost)

    def on_remove(self, key: Hashable) -> None:
        self._forget(key).policy.on_remove(key)

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        asking = self._part_of(incoming) if incoming is not None else None
        part = max(
            (one for one in self._parts.values() if len(one.policy)),
            key=lambda one: one.over(size if one is asking else 0),
            default=None,
        )
        if part is None:
            raise LookupError("nothing is resident")
        victim = part.policy.evict(incoming if part is asking else None, size)
        if victim in self._places:
            self._forget(victim)
        return victim

    def resize(self, capacity: int) -> None:
        self._capacity = capacity
        for part in self._parts.values():
            part.policy.resize(max(1, int(capacity * part.share)))

    def keys(self) -> Iterable[Hashable]:
        """Of those parts first that are over their share."""
        order = sorted(self._parts.values(), key=lambda one: -one.over(0))
        return list(chain.from_iterable(part.policy.keys() for part in order))

    def __len__(self) -> int:
        return len(self._places)

    def _part_of(self, key: Hashable) -> _Part:
        return self._parts.get(self._kind_of(key)) or self._parts[_OTHERS]

    def _forget(self, key: Hashable) -> _Part:
        part, size = self._places.pop(key)
        part.used -= size
        return part


class InParts:
    """Makes a ``PartedPolicy``; its name says what is within.

    :param name: of the policy within each part.
    """

    def __init__(
        self,
        name: str,
        make: EvictionPolicyFactory,
        shares: Mapping[str, float],
        kind_of: Callable[[Hashable], str],
    ) -> None:
        self.__name__ = f"{name}{IN_PARTS}"
        self.shares = dict(shares)
        self._make, self._kind_of = make, kind_of

    def __call__(self, capacity: int) -> EvictionPolicy:
        return PartedPolicy(capacity, self.shares, self._kind_of, self._make)
