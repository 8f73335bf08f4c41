"""What plugins implement. Every protocol here has a contract suite in ``perfmw.testing``."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from perfmw.contracts.caching import Purge
from perfmw.contracts.profiles import OptimizationOpportunity
from perfmw.contracts.resources import PoolSample
from perfmw.contracts.snapshot import Alert, RuntimeSnapshot

API_VERSION = 1
"""The plugin API this release speaks. A plugin may declare ``perfmw_api_version = 1``."""


class EvictionPolicy(Protocol):
    """Decides who leaves a full cache. Pure: no clock, no I/O, no values, only keys.

    The cache owns the values and the bound; it calls the policy for every change of what is resident.
    ``size`` is 1 in a cache bounded by entries and bytes in one bounded by bytes; ``cost`` is what a
    miss of the key costs, in seconds, 0.0 when unknown. A key is resident between ``on_insert`` and
    ``on_remove`` or its return from ``evict``; between them the policy must hold it exactly once.
    """

    def on_hit(self, key: Hashable) -> object:
        """A resident key was read. Its return value is ignored. May raise KeyError if not resident."""

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        """A key that was not resident is now."""

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        """A resident key got a new value."""

    def on_remove(self, key: Hashable) -> None:
        """A resident key was deleted or expired (not evicted)."""

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        """Choose who leaves so that ``incoming`` of ``size`` fits, and forget it.

        Called before ``on_insert(incoming)`` as often as room is needed. To refuse the newcomer the policy
        returns ``incoming`` itself; it is then not inserted. Raises LookupError when nothing is resident.
        """

    def resize(self, capacity: int) -> None:
        """The bound changed (entries or bytes). The cache evicts afterwards if it must."""

    def keys(self) -> Iterable[Hashable]:
        """Resident keys, the one to be evicted first at the head; used to hand contents over."""

    def __len__(self) -> int: ...


EvictionPolicyFactory = Callable[[int], EvictionPolicy]
"""``capacity`` (entries or bytes) -> a new policy.

It may have an attribute ``rivals``, names of other policies: chosen by name, it then acts only while it does
better than each of them, as ``adaptive`` finds out. Its policies may have ``anew(capacity)``, which makes an
empty one that goes on with what this one learned.
"""


class Codec(Protocol):
    """Turns stored bytes into other bytes: compression or encryption. Raises ValueError on damaged input."""

    name: str

    def encode(self, data: bytes, context: Mapping[str, Any]) -> bytes: ...

    def decode(self, data: bytes, context: Mapping[str, Any]) -> bytes: ...


class Controls(Protocol):
    """The handle by which an optimizer changes the running cache. Every call is idempotent."""

    def put_cache_rule(
        self,
        rule_id: str,
        *,
        path: str,
        ttl: float,
        methods: Sequence[str] = ("GET",),
        vary: Sequence[str] = (),
        tags: Sequence[str] = (),
        stale_while_revalidate: float = 0.0,
    ) -> None:
        """Add or replace a dynamic cache rule; it takes effect with the next request.

        ``stale_while_revalidate``: seconds after ``ttl`` in which the old response answers still.
        Putting in again what was removed finds what is still fresh of what was stored under it.
        """

    def remove_cache_rule(self, rule_id: str) -> None:
        """Remove a dynamic cache rule; what was stored under it is not served. Unknown ids are ignored."""

    def set_option(self, name: str, value: Any) -> None:
        """Change what can change while running.

        ``eviction_policy`` or ``memory_max_bytes`` of the memory layer; ``pool:NAME``, the capacity of a
        ResizablePool; ``warm_up``, the sources of a warm-up that begins; ``coalesce`` and ``trace_ratio`` as
        the settings of these names; ``access_log_ratio``, the share of requests that the server's access log
        has a line for, failures always.

        Raises ValueError for another name, or for a value that is not taken.
        """


class Optimizer(Protocol):
    """Finds opportunities in a snapshot, and knows how to make and unmake the change."""

    name: str

    def propose(self, snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        """Pure: the same snapshot gives the same opportunities, with the same ids."""

    def apply(self, opportunity: OptimizationOpportunity, controls: Controls) -> None: ...

    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None: ...


@runtime_checkable
class Exporter(Protocol):
    """Sends snapshots somewhere. Called from the runtime's timer, never on the request path."""

    name: str

    async def export(self, snapshot: RuntimeSnapshot) -> None: ...

    async def aclose(self) -> None: ...


@runtime_checkable
class TextExporter(Protocol):
    """Renders a snapshot on demand, for a pull endpoint such as ``/_perfmw/metrics``."""

    name: str
    content_type: str

    def render(self, snapshot: RuntimeSnapshot) -> str: ...


class Purger(Protocol):
    """Tells a CDN what to forget. Called off the request path, one call at a time, again after a failure.

    ``limits`` is the most purges of each kind (``url``, ``tag``, ``prefix``) that one call may be given; a
    kind that is not in it cannot be purged there.
    """

    name: str
    limits: Mapping[str, int]

    async def purge(self, purges: Sequence[Purge]) -> None:
        """Carry out purges of one kind, all soft or all hard.

        :raises PurgeError: it was not done; it says whether to try again. Any other exception is tried again.
        """

    async def aclose(self) -> None: ...


class ResourcePool(Protocol):
    """Something that can run out. ``sample`` must be cheap and must not block."""

    name: str

    def sample(self, now: float) -> PoolSample: ...


@runtime_checkable
class ResizablePool(Protocol):
    """A pool whose capacity can be changed while it runs: it is made larger before load that is foreseen."""

    name: str

    def resize(self, capacity: float) -> None:
        """Raises ValueError for a capacity that it can not have."""


class AlertChannel(Protocol):
    """Tells somebody. Called off the request path; an exception is logged and counted."""

    name: str

    async def send(self, alert: Alert) -> None: ...


@dataclass(frozen=True, slots=True)
class DashboardPanel:
    """A panel of the dashboard. ``rows`` returns plain text cells; the page escapes them.

    ``page``: the title of a page of its own, which panels of the same ``page`` share; without it the panel
    stands on the overview.
    """

    id: str
    title: str
    columns: Sequence[str]
    rows: Callable[[], Sequence[Sequence[str]]]
    page: str = ""
