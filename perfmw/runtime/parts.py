"""Whether pages, answers of an API and results of functions should each have a part of the memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final

from perfmw.cache.eviction.parts import IN_PARTS, InParts
from perfmw.learning.partition import Claim, Partitioner, PartitionPlan
from perfmw.runtime.functionreads import PREFIX

if TYPE_CHECKING:
    from perfmw.cache.memory import MemoryLayer
    from perfmw.contracts import EvictionPolicyFactory
    from perfmw.settings import Settings

LEAST_READS: Final = 5_000
_MOST_KEYS = 20_000
_WORTH_A_CHANGE = 0.1
"""Of the memory: shares that move by less are left as they are."""


class Parts:
    """Learns from the reads of one shared memory what parts of it would give, and makes them. Bounded."""

    def __init__(self, settings: Settings, policies: Mapping[str, EvictionPolicyFactory]) -> None:
        claims = {
            kind: Claim(part.floor, part.cap, part.weight) for kind, part in settings.memory_parts.items()
        }
        self._learned = Partitioner(claims)
        self._policies = policies
        self._api: OrderedDict[Hashable, None] = OrderedDict()
        self._bytes: dict[str, int] = {}
        self.made: dict[str, float] = {}
        """The shares that are in force, 0..1 by kind; none where all share one pool."""
        self._policy_before = ""

    @property
    def reads(self) -> int:
        """That were learned from."""
        return sum(curve.accesses for curve in self._learned.curves.values())

    def read(self, kind: str, key: str, size: int) -> None:
        """``key`` was read, of so many bytes. About 4 µs."""
        self._bytes[kind] = self._bytes.get(kind, 0) + size
        self._learned.access(kind, key)

    def stores(self, key: str, *, api: bool) -> None:
        """A response is about to be stored: remember of which kind it is."""
        if not api:
            self._api.pop(key, None)
            return
        self._api[key] = None
        if len(self._api) > _MOST_KEYS:
            self._api.popitem(last=False)

    def kind_of(self, key: Hashable) -> str:
        """``functions``, ``api`` or ``content``."""
        if isinstance(key, str) and key.startswith(PREFIX):
            return "functions"
        return "api" if key in self._api else "content"

    def plan(self, layer: MemoryLayer) -> PartitionPlan | None:
        """For the entries that the memory holds now; None while there is nothing to tell apart."""
        if len(self._learned.curves) < 2 or not len(layer):
            return None
        return self._learned.plan(len(layer))

    def settled(self, layer: MemoryLayer) -> PartitionPlan | None:
        """The plan, once there were enough reads to act on it."""
        return self.plan(layer) if self.reads >= LEAST_READS else None

    def shares(self, plan: PartitionPlan, layer: MemoryLayer) -> dict[str, float]:
        """Of the memory, in what bounds it: bytes or entries. None of it where the pool is to be one."""
        parts = plan.parts or {}
        if layer.max_bytes is None:
            weights = {kind: float(entries) for kind, entries in parts.items()}
        else:
            weights = {kind: entries * self._mean_bytes(kind) for kind, entries in parts.items()}
        total = sum(weights.values())
        return {kind: weight / total for kind, weight in weights.items()} if total else {}

    def is_news(self, shares: Mapping[str, float], layer: MemoryLayer) -> bool:
        """Whether these shares differ from those in force by enough to act; such as can be acted on."""
        if self.made and not layer.policy.endswith(IN_PARTS):  # somebody chose another policy meanwhile
            self.made = {}
        if not self.made and layer.policy not in self._policies:
            return False
        kinds = {*shares, *self.made}
        return any(abs(shares.get(kind, 0.0) - self.made.get(kind, 0.0)) > _WORTH_A_CHANGE for kind in kinds)

    def make(self, layer: MemoryLayer, shares: Mapping[str, float]) -> None:
        """Give out ``shares`` of the memory, or make it one pool again where there are none."""
        if not self.made:
            self._policy_before = layer.policy
        self.made = dict(shares)
        name = self._policy_before
        layer.set_policy(InParts(name, self._policies[name], shares, self.kind_of) if shares else name)

    def choose(self, layer: MemoryLayer, policy: str) -> None:
        """Evict by another policy; within the parts, where there are any. Raises ValueError for none."""
        if self.made and policy in self._policies and layer.policy.endswith(IN_PARTS):
            self._policy_before = policy
            self.make(layer, self.made)
        else:
            layer.set_policy(policy)

    def told(self, layer: MemoryLayer | None) -> dict[str, Any]:
        """The plan, for people and for JSON; nothing while there is none."""
        plan = self.plan(layer) if layer is not None else None
        if plan is None:
            return {}
        return {
            "parts": plan.parts,
            "gain": plan.gain,
            "words": plan.in_words(),
            "made": self.made,
        }

    def _mean_bytes(self, kind: str) -> float:
        curve = self._learned.curves.get(kind)
        return self._bytes.get(kind, 0) / curve.accesses if curve is not None and curve.accesses else 1.0
