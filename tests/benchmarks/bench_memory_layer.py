"""MemoryLayer against cachetools.LRUCache: a hit, and a miss that stores and evicts.

Run it as a script: ``python tests/benchmarks/bench_memory_layer.py [--json]``. Both caches are measured in
turns within one run, so that what else the machine does hits both; each figure is the median of its turns.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import cachetools

from perfmw.cache import MemoryLayer

LIMITS = {"hit": 1.0, "miss_set_evict": 1.5}
Turn = Callable[[], float]


def _hits_layer(layer: MemoryLayer, keys: list[str]) -> float:
    began = time.perf_counter()
    for key in keys:
        layer.get_nowait(key)
    return (time.perf_counter() - began) / len(keys)


def _hits_cachetools(cache: cachetools.LRUCache[str, Any], keys: list[str]) -> float:
    began = time.perf_counter()
    for key in keys:
        cache[key]
    return (time.perf_counter() - began) / len(keys)


def _misses_layer(layer: MemoryLayer, keys: list[str]) -> float:
    began = time.perf_counter()
    for key in keys:
        if layer.get_nowait(key) is None:
            layer.set_nowait(key, key)
    return (time.perf_counter() - began) / len(keys)


def _misses_cachetools(cache: cachetools.LRUCache[str, Any], keys: list[str]) -> float:
    began = time.perf_counter()
    for key in keys:
        if cache.get(key) is None:
            cache[key] = key
    return (time.perf_counter() - began) / len(keys)


def _compare(ours: Turn, theirs: Turn, turns: int) -> dict[str, float]:
    mine, rival = [], []
    for _ in range(turns):
        mine.append(ours())
        rival.append(theirs())
    ratios = [one / other for one, other in zip(mine, rival, strict=True)]
    return {
        "perfmw_ns": statistics.median(mine) * 1e9,
        "cachetools_ns": statistics.median(rival) * 1e9,
        "ratio": statistics.median(ratios),
    }


def measure(policy: str = "lru", entries: int = 1_000, turns: int = 41) -> dict[str, dict[str, float]]:
    """The two figures, each with nanoseconds per operation of both and the median ratio."""
    layer = MemoryLayer(max_entries=entries, policy=policy)
    rival: cachetools.LRUCache[str, Any] = cachetools.LRUCache(entries)
    resident = [f"GET https://shop.example/items/{number}" for number in range(entries)]
    for key in resident:
        layer.set_nowait(key, key)
        rival[key] = key
    order = resident * max(1, 5_000 // entries)
    hit = _compare(lambda: _hits_layer(layer, order), lambda: _hits_cachetools(rival, order), turns)
    # a cycle through twice as many keys as fit: a recency policy misses every one of them
    cycle = [f"GET https://shop.example/pages/{number}" for number in range(2 * entries)] * 2
    miss = _compare(lambda: _misses_layer(layer, cycle), lambda: _misses_cachetools(rival, cycle), turns)
    return {"hit": hit, "miss_set_evict": miss}


def overhead(policy: str, *, ttl: float | None, by_bytes: bool, churn: bool, entries: int = 100_000) -> float:
    """Bytes an entry takes beside its key and value, as tracemalloc counts them."""
    keys = [f"k{number:08d}" for number in range(3 * entries if churn else entries)]
    bound = {"max_bytes": 1_000 * entries} if by_bytes else {"max_entries": entries}
    gc.collect()
    tracemalloc.start()
    layer = MemoryLayer(policy=policy, **bound)
    for number, key in enumerate(keys):
        layer.set_nowait(key, key, ttl and ttl + number % 100 / 7, 1_000 if by_bytes else None)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return used / len(layer.keys_nowait())


def _report_memory(policy: str) -> int:
    for by_bytes, ttl, churn in itertools.product((False, True), (None, 600.0), (False, True)):
        used = overhead(policy, ttl=ttl, by_bytes=by_bytes, churn=churn)
        bound = "bytes" if by_bytes else "entries"
        state = "long full" if churn else "filled once"
        print(f"bounded by {bound:7} ttl {ttl!s:5} {state:11}  {used:4.0f} B an entry")
    return 0


def main() -> int:
    """Print the figures; exit status 1 when a ratio is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--policy", default="lru")
    parser.add_argument("--entries", type=int, default=1_000)
    parser.add_argument("--memory", action="store_true", help="measure the overhead of an entry instead")
    options = parser.parse_args()
    if options.memory:
        return _report_memory(options.policy)
    figures = measure(options.policy, options.entries)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            ours, theirs = figure["perfmw_ns"], figure["cachetools_ns"]
            print(
                f"{name:16} perfmw {ours:7.0f} ns   cachetools {theirs:7.0f} ns"
                f"   ratio {figure['ratio']:.2f} (needs <= {LIMITS[name]})"
            )
    return int(any(figure["ratio"] > LIMITS[name] for name, figure in figures.items()))


if __name__ == "__main__":
    sys.exit(main())
