"""MemoryLayer against cachetools.LRUCache: a hit, and a miss that stores and evicts.

Run it as ``python -m tests.benchmarks.bench_memory_layer [--policy NAME,...] [--json]``. All take
turns within one run, so that what else the machine does hits all; each figure is the median of its turns, in
processor time.
cachebox (which is compiled) and theine are named beside where they are installed, and not judged.
``--memory`` weighs an entry instead, and with ``--rss`` also what the process grows by.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import itertools
import json
import multiprocessing
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import cachetools
import psutil

from perfmw.cache import POLICIES, MemoryLayer
from tests.benchmarks.verdicts import told

LIMITS = {"hit": 1.0, "miss_set_evict": 1.5}
Turn = Callable[[], float]
Get = Callable[[str], Any]
Put = Callable[[str, str], object]


def _hits_by_item(cache: Any, keys: list[str]) -> float:
    began = time.thread_time()
    for key in keys:
        cache[key]
    return (time.thread_time() - began) / len(keys)


def _hits_by_call(get: Get, keys: list[str]) -> float:
    began = time.thread_time()
    for key in keys:
        get(key)
    return (time.thread_time() - began) / len(keys)


def _misses_by_item(cache: Any, keys: list[str]) -> float:
    began = time.thread_time()
    for key in keys:
        if cache.get(key) is None:
            cache[key] = key
    return (time.thread_time() - began) / len(keys)


def _misses_by_call(get: Get, put: Put, keys: list[str]) -> float:
    began = time.thread_time()
    for key in keys:
        if get(key) is None:
            put(key, key)
    return (time.thread_time() - began) / len(keys)


@dataclass(frozen=True)
class Rival:
    """A cache, used as its documentation shows it."""

    name: str
    put: Put
    hits: Callable[[list[str]], float]
    misses: Callable[[list[str]], float]


def _by_item(name: str, cache: Any) -> Rival:
    return Rival(name, cache.__setitem__, partial(_hits_by_item, cache), partial(_misses_by_item, cache))


def _by_call(name: str, get: Get, put: Put) -> Rival:
    return Rival(name, put, partial(_hits_by_call, get), partial(_misses_by_call, get, put))


def rivals(policy: str, entries: int) -> list[Rival]:
    """MemoryLayer, cachetools, and what else is installed."""
    layer = MemoryLayer(max_entries=entries, policy=policy)
    found = [
        _by_call("perfmw", layer.get_nowait, layer.set_nowait),
        _by_item("cachetools", cachetools.LRUCache(entries)),
    ]
    if importlib.util.find_spec("cachebox"):
        found.append(_by_item("cachebox", importlib.import_module("cachebox").LRUCache(entries)))
    if importlib.util.find_spec("theine"):
        theine = importlib.import_module("theine").Cache(entries)
        found.append(_by_call("theine", lambda key: theine.get(key)[0], theine.set))
    return found


def _compare(runs: dict[str, Turn], turns: int) -> dict[str, dict[str, float]]:
    """Of each cache nanoseconds, and the median ratio of perfmw to it."""
    costs: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(turns):
        for name, run in runs.items():
            costs[name].append(run())
    mine = costs["perfmw"]
    return {
        name: {
            "ns": statistics.median(theirs) * 1e9,
            "ratio": statistics.median(one / other for one, other in zip(mine, theirs, strict=True)),
        }
        for name, theirs in costs.items()
    }


def measure(
    policy: str = "lru", entries: int = 1_000, turns: int = 41
) -> dict[str, dict[str, dict[str, float]]]:
    """A hit and a miss: of each cache nanoseconds an operation, and perfmw's ratio to it."""
    caches = rivals(policy, entries)
    resident = [f"GET https://shop.example/items/{number}" for number in range(entries)]
    for cache in caches:
        for key in resident:
            cache.put(key, key)
    order = resident * max(1, 5_000 // entries)
    hit = _compare({cache.name: partial(cache.hits, order) for cache in caches}, turns)
    # a cycle through twice as many keys as fit: a recency policy misses every one of them
    cycle = [f"GET https://shop.example/pages/{number}" for number in range(2 * entries)] * 2
    miss = _compare({cache.name: partial(cache.misses, cycle) for cache in caches}, turns)
    return {"hit": hit, "miss_set_evict": miss}


KEYS: dict[str, Callable[[int], Hashable]] = {
    "str": lambda number: f"k{number:08d}",
    "int": lambda number: 1_000_000 + number,
    "tuple": lambda number: ("user", 1_000_000 + number),
}
MOST_OVERHEAD = 300


@dataclass(frozen=True)
class Filling:
    """A layer to weigh: what its keys are, how it is bounded, and whether it has long been full."""

    policy: str
    kind: str = "str"
    ttl: float | None = None
    by_bytes: bool = False
    churn: bool = False
    entries: int = 100_000

    def fill(self, keys: list[Hashable]) -> MemoryLayer:
        layer = MemoryLayer(
            policy=self.policy,
            max_bytes=1_000 * self.entries if self.by_bytes else None,
            max_entries=None if self.by_bytes else self.entries,
        )
        for number, key in enumerate(keys):
            ttl = self.ttl and self.ttl + number % 100 / 7
            layer.set_nowait(key, key, ttl, 1_000 if self.by_bytes else None)
        return layer

    def keys(self) -> list[Hashable]:
        make = KEYS[self.kind]
        return [make(number) for number in range(3 * self.entries if self.churn else self.entries)]


def overhead(filling: Filling) -> float:
    """Bytes an entry takes beside its key and value, as tracemalloc counts them."""
    keys = filling.keys()
    gc.collect()
    tracemalloc.start()
    layer = filling.fill(keys)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return used / len(layer.keys_nowait())


def resident(filling: Filling) -> float:
    """The same by what the process grows; ask it of a new process."""
    MemoryLayer(policy=filling.policy, max_entries=10).set_nowait("k", "v")  # what is imported late
    keys = filling.keys()
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    layer = filling.fill(keys)
    gc.collect()
    return (process.memory_info().rss - before) / len(layer.keys_nowait())


def _fillings(policies: list[str]) -> Iterator[Filling]:
    for policy, kind in itertools.product(policies, KEYS):
        yield Filling(policy, kind)
        yield Filling(policy, kind, ttl=600.0, by_bytes=True, churn=True)


def resident_of_cachetools(kind: str, entries: int = 100_000) -> float:
    """What an entry of cachetools.TTLCache takes that has long been full, by what the process grows."""
    keys = Filling("", kind, churn=True, entries=entries).keys()
    gc.collect()
    before = psutil.Process().memory_info().rss
    cache: cachetools.TTLCache[Hashable, Hashable] = cachetools.TTLCache(entries, 600)
    for key in keys:
        cache[key] = key
    gc.collect()
    return (psutil.Process().memory_info().rss - before) / len(cache)


def _alone(work: Callable[..., float], *args: Any) -> float:
    """In a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def _report_memory(policies: list[str], rss: bool) -> int:
    """Judged by what is allocated; what the process grows by has in it what the allocator keeps for later."""
    hold = []
    for filling in _fillings(policies):
        state = "bytes, TTL, long full" if filling.churn else "entries, filled once"
        what = f"overhead of an entry, {filling.policy}, {filling.kind} keys, bounded by {state}"
        hold.append(told(what, overhead(filling), most=MOST_OVERHEAD, unit="B"))
        if rss:
            print(f"  by RSS {_alone(resident, filling):.0f} B", flush=True)
    for kind in KEYS if rss else ():
        grown = _alone(resident_of_cachetools, kind)
        print(f"cachetools.TTLCache, {kind} keys, long full: by RSS {grown:.0f} B")
    return int(not all(hold))


def _print(policy: str, figures: dict[str, dict[str, dict[str, float]]]) -> None:
    for name, caches in figures.items():
        times = "  ".join(f"{one} {figure['ns']:.0f} ns" for one, figure in caches.items())
        print(f"{policy:9} {name:15} {times}", flush=True)
        for rival, figure in caches.items():
            what = f"{policy}, {name}, against {rival}"
            if rival == "cachetools":
                told(what, figure["ratio"], most=LIMITS[name])
            elif rival != "perfmw":
                print(f"{what}: {figure['ratio']:.2f}; not judged", flush=True)


def main() -> int:
    """Print the figures; exit status 1 when one is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--policy", default="lru,sieve,s3fifo", help="names with commas between, or all")
    parser.add_argument("--entries", type=int, default=1_000)
    parser.add_argument("--memory", action="store_true", help="measure the overhead of an entry instead")
    parser.add_argument("--rss", action="store_true", help="with --memory: what the process grows by, too")
    options = parser.parse_args()
    policies = sorted(POLICIES) if options.policy == "all" else options.policy.split(",")
    if options.memory:
        return _report_memory(policies, options.rss)
    found = {}
    for policy in policies:
        found[policy] = measure(policy, options.entries)
        if not options.json:
            _print(policy, found[policy])
    if options.json:
        print(json.dumps(found))
    ratios = [(name, caches["cachetools"]["ratio"]) for one in found.values() for name, caches in one.items()]
    return int(any(ratio > LIMITS[name] for name, ratio in ratios))


if __name__ == "__main__":
    sys.exit(main())
