"""What the caches are worth, for Prometheus: bytes nobody read, hits per MiB, money saved per money spent."""

from __future__ import annotations

from collections.abc import Iterator

from perfmw.contracts import RuntimeSnapshot
from perfmw.exporters.exposition import Family


def worth_families(snapshot: RuntimeSnapshot) -> Iterator[Family]:
    """Of one process; bytes only where usage patterns are learned or the memory tunes itself."""
    watched = Family("perfmw_cache_watched_bytes", "gauge", "Bytes whose first read was watched for.")
    watched.add(snapshot.waste.get("watched"))
    unread = Family(
        "perfmw_cache_never_hit_bytes_total", "counter", "Bytes of them that left before anybody read them."
    )
    unread.add(snapshot.waste.get("never_hit"))
    hits = Family("perfmw_cache_hits_per_mebibyte", "gauge", "Hits since the start, by MiB held now.")
    money = Family(
        "perfmw_cache_cost_efficiency_ratio", "gauge", "Money saved per money spent, at the prices set."
    )
    for manager in snapshot.managers():
        hits.add(manager.metrics.memory_efficiency, ("name", manager.name))
        money.add(manager.metrics.cost_efficiency, ("name", manager.name))
    yield from (watched, unread, hits, money)
