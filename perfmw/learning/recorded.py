"""What a recorded workload teaches: families of keys, which writes are followed by which changes, warm-up."""

from __future__ import annotations

from collections.abc import Iterable

from perfmw.contracts import CachePatterns, WorkloadEvent
from perfmw.learning.patterns import UsagePatterns

_READS = frozenset({"GET", "HEAD"})


def patterns_of(events: Iterable[WorkloadEvent]) -> CachePatterns:
    """The patterns of events that tell their times; others teach nothing and are left out."""
    learned = UsagePatterns()
    versions: dict[str, str] = {}
    for event in events:
        if event.time is None:
            continue
        if event.method not in _READS:
            learned.effects.write(event.key, event.time)
            continue
        learned.read(event.key, event.time)
        if event.version is None:
            continue
        if versions.setdefault(event.key, event.version) != event.version:
            versions[event.key] = event.version
            learned.effects.change(event.key, event.time)
    return learned.summary().cache_patterns()
