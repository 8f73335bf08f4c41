"""A workload through the real memory layer, by the workload's own clock: hits, stale answers, time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from perfmw.cache.memory import MemoryLayer
from perfmw.cache.sizes import ENTRY_OVERHEAD
from perfmw.contracts import EvictionPolicyFactory, Workload, WorkloadEvent

TRACE_LIMIT = 100_000
_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Recorded:
    """The last 100,000 events of a workload."""

    events: Sequence[WorkloadEvent]

    @classmethod
    def of(cls, workload: Workload) -> Recorded:
        """:raises ValueError: nothing is read in it; TypeError: it is of something else."""
        found = cls(list(deque(map(_event, workload), maxlen=TRACE_LIMIT)))
        if not found.reads:
            raise ValueError("the workload is empty")
        return found

    @cached_property
    def reads(self) -> Sequence[WorkloadEvent]:
        return [event for event in self.events if event.method in _READS]

    @cached_property
    def weights(self) -> Mapping[str, int]:
        """What the entry of each key weighs in memory, in bytes."""
        return {event.key: event.size + ENTRY_OVERHEAD for event in self.reads}

    @cached_property
    def timed(self) -> bool:
        return all(event.time is not None for event in self.reads)

    @cached_property
    def versioned(self) -> bool:
        """Whether it tells, of any key that is read again, if the value is still the same."""
        seen: set[str] = set()
        for event in self.reads:
            if event.version is not None:
                if event.key in seen:
                    return True
                seen.add(event.key)
        return False

    @cached_property
    def mean_size(self) -> float:
        return sum(event.size for event in self.reads) / len(self.reads)

    @cached_property
    def span(self) -> float:
        """Seconds from the first read to the last; 0 where it tells no times."""
        return (self.reads[-1].time or 0.0) - (self.reads[0].time or 0.0) if self.timed else 0.0


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """Shares 0..1 of the reads; ``latency`` is the mean of them in milliseconds, a hit taking none; None
    where the workload does not tell what values cost."""

    hit_rate: float
    stale_rate: float
    latency: float | None


def rehearse(
    recorded: Recorded,
    policy: str,
    max_bytes: int,
    ttl: float | None = None,
    policies: Mapping[str, EvictionPolicyFactory] | None = None,
) -> Rehearsed:
    """Read each key; store it where it was not there, as a cache in front of an origin does.

    :param ttl: seconds; None never expires. It counts only where the workload tells times.
    :raises ValueError: for an unknown policy or a size below 1.
    """
    now = [0.0]
    layer = MemoryLayer(max_bytes=max_bytes, policy=policy, policies=policies, clock=lambda: now[0], ttl=ttl)
    hits = stale = told = 0
    waited = 0.0
    for event in recorded.reads:
        if event.time is not None:
            now[0] = max(now[0], event.time)
        held = layer.get_nowait(event.key)
        told += event.seconds is not None
        if held is None:
            waited += event.seconds or 0.0
            weight = event.size + ENTRY_OVERHEAD
            layer.set_nowait(event.key, (event.version,), size=weight, cost=event.seconds)
            continue
        hits += 1
        stale += event.version is not None and held[0] is not None and held[0] != event.version
    reads = len(recorded.reads)
    return Rehearsed(hits / reads, stale / reads, waited / reads * 1e3 if told else None)


def _event(item: str | tuple[str, int] | WorkloadEvent) -> WorkloadEvent:
    if isinstance(item, WorkloadEvent):
        return item
    if isinstance(item, str):
        return WorkloadEvent(item)
    match item:
        case (str(key), int(size)):
            return WorkloadEvent(key, size)
    raise TypeError(f"a workload is of keys, of keys and sizes, or of WorkloadEvents, not {item!r}")
