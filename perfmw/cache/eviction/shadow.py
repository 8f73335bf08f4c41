"""What a cache under some policy would hold: keys and sizes, no values."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from perfmw.contracts import EvictionPolicy, EvictionPolicyFactory


class Asked:
    """Sizes of resident keys, of the cache that keeps them anyway.

    It knows a newcomer, and the new size of a key, a moment later than its policy: those are told here.

    :param size_of: bytes of a key, 0 for one that is not resident.
    """

    __slots__ = ("_size_of", "_told")

    def __init__(self, size_of: Callable[[Hashable], int]) -> None:
        self._size_of = size_of
        self._told: tuple[Hashable, int] | None = None

    def get(self, key: Hashable) -> int | None:
        if self._told is not None and self._told[0] == key:
            return self._told[1]
        return self._size_of(key) or None

    def __contains__(self, key: Hashable) -> bool:
        return self.get(key) is not None

    def __getitem__(self, key: Hashable) -> int:
        size = self.get(key)
        if size is None:
            raise KeyError(key)
        return size

    def __setitem__(self, key: Hashable, size: int) -> None:
        self._told = key, size

    def __delitem__(self, key: Hashable) -> None:
        self._told = None


class Shadow:
    """A cache without values, beside the real one and of its capacity.

    ``lead`` is what it has lately gained on the policy in use, ``price`` what it takes to be followed.
    ``left`` are the keys that its last access or the last change of its capacity drove out.
    """

    __slots__ = (
        "_replace",
        "capacity",
        "factory",
        "lead",
        "left",
        "name",
        "policy",
        "price",
        "sizes",
        "used",
    )

    def __init__(self, name: str, factory: EvictionPolicyFactory, capacity: int) -> None:
        self.name = name
        self.factory = factory
        self.capacity = capacity
        self.policy: EvictionPolicy = factory(capacity)
        self._replace: Callable[[Hashable], Hashable] | None = getattr(self.policy, "replace", None)
        self.sizes: dict[Hashable, int] = {}
        self.used = 0
        self.lead = self.price = 0.0
        self.left: list[Hashable] = []

    def access(self, key: Hashable, size: int, cost: float) -> bool:
        """Read ``key``, and store it where it was not there; whether it was."""
        if key in self.sizes:
            self.policy.on_hit(key)
            return True
        if self.left:
            self.left.clear()
        if self._replace is not None and size == 1 and self.used == self.capacity == len(self.sizes):
            victim = self._replace(key)  # all weigh 1, so that one leaves for one
            del self.sizes[victim]
            self.sizes[key] = 1
            self.left.append(victim)
            return False
        while self.used + size > self.capacity:
            if size > self.capacity or self.give_up(key, size) == key:
                return False
        self.policy.on_insert(key, size, cost)
        self.sizes[key] = size
        self.used += size
        return False

    def anew(self, capacity: int) -> EvictionPolicy:
        """An empty policy of this kind; one that learns may go on with what it learned."""
        make: EvictionPolicyFactory = getattr(self.policy, "anew", self.factory)
        return make(capacity)

    def give_up(self, incoming: Hashable | None, size: int) -> Hashable:
        """Who leaves for ``incoming``, or that itself, as in a policy. Raises LookupError when empty."""
        victim = self.policy.evict(incoming, size)
        if victim in self.sizes:
            self.used -= self.sizes.pop(victim)
            self.left.append(victim)
        return victim

    def change(self, key: Hashable, size: int, cost: float) -> None:
        """``key`` has a new value, if it is here."""
        self.left.clear()
        if key in self.sizes:
            self.used += size - self.sizes[key]
            self.sizes[key] = size
            self.policy.on_update(key, size, cost)
            self._fit()

    def forget(self, key: Hashable) -> None:
        size = self.sizes.pop(key, None)
        if size is not None:
            self.policy.on_remove(key)
            self.used -= size

    def resize(self, capacity: int) -> None:
        self.left.clear()
        self.capacity = capacity
        self.policy.resize(capacity)
        self._fit()

    def close_gaps(self) -> None:
        """Make the tables anew, without the places of those who left."""
        self.sizes = dict(self.sizes)
        getattr(self.policy, "close_gaps", bool)()
        self._replace = getattr(self.policy, "replace", None)

    def thinned(self, capacity: int, keeps: Callable[[Hashable], bool]) -> Shadow:
        """One of another capacity, with the keys that ``keeps`` says."""
        thin = Shadow(self.name, self.anew, capacity)
        thin.factory = self.factory
        held = self.policy.keys()
        for key in held:
            if keeps(key):
                thin.access(key, self.sizes[key], 0.0)
        return thin

    def _fit(self) -> None:
        while self.used > self.capacity:
            self.give_up(None, 0)
