"""What profiles cost beside the request path: memory of many, a tick, and a read for the dashboard.

    python -m tests.benchmarks.bench_profiles [--json]

Memory: 10,000 profiles, each with requests in all four windows (a minute to a day), as growth of the
resident set. Read: a snapshot of 1,000 profiles that all changed since the last one, and of 1,000 idle ones;
the median of several.
"""

from __future__ import annotations

import gc
import json
import random
import statistics
import sys
import time

import psutil

from perfmw.profiles import ProfileStore
from tests.benchmarks.verdicts import told

MANY, SOME = 10_000, 1_000
PAUSES = (1.0, 5.0, 20.0, 60.0, 300.0, 900.0, 3600.0, 3600.0, 900.0, 300.0, 60.0, 20.0, 5.0)


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def traffic(store: ProfileStore, names: list[str], each: int, rng: random.Random) -> None:
    for number, name in enumerate(names):
        recorder, centre = store.recorder(name), -7.0 + number % 40 / 10
        for _ in range(each):
            recorder.origin(rng.lognormvariate(centre, 0.5), 200, "uri-miss")


def memory() -> dict[str, float]:
    gc.collect()
    before = psutil.Process().memory_info().rss
    clock, rng = Clock(), random.Random(7)
    store = ProfileStore(max_profiles=MANY, clock=clock)
    names = [f"GET /shop/{number}/{{id}}" for number in range(MANY)]
    ticks = []
    for pause in PAUSES:
        traffic(store, names, 5, rng)
        clock.now += pause
        begun = time.perf_counter()
        store.tick(clock.now)
        ticks.append(time.perf_counter() - begun)
    gc.collect()
    grown = psutil.Process().memory_info().rss - before
    for number in range(MANY):
        store.recorder(f"GET /scan/{number}").origin(0.1, 404, "uri-miss")
    beyond = len(store.names())
    return {"memory_mib": grown / 2**20, "profiles_beyond_the_bound": beyond - MANY, "tick_s": max(ticks)}


def reading() -> dict[str, float]:
    clock, rng = Clock(), random.Random(7)
    store = ProfileStore(max_profiles=SOME, clock=clock)
    names = [f"GET /shop/{number}/{{id}}" for number in range(SOME)]
    changed, idle, ticks = [], [], []
    for number in range(12):
        traffic(store, names, 20, rng)
        clock.now += 1.0
        begun = time.perf_counter()
        store.tick(clock.now)
        ticks.append(time.perf_counter() - begun)
        traffic(store, names, 1, rng)
        begun = time.perf_counter()
        store.snapshot()
        middle = time.perf_counter()
        store.snapshot()
        if number:
            changed.append(middle - begun)
            idle.append(time.perf_counter() - middle)
    begun = time.perf_counter()
    store.snapshot(patience=60.0)
    whole = time.perf_counter() - begun
    return {
        "read_changed_ms": statistics.median(changed) * 1e3,
        "read_again_ms": statistics.median(idle) * 1e3,
        "describe_all_ms": whole * 1e3,
        "tick_ms": sorted(ticks)[len(ticks) // 2] * 1e3,
    }


def main() -> int:
    figures = memory() | reading()
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return 0
    good = [
        told(f"memory of {MANY:,} profiles x 4 windows", figures["memory_mib"], most=64.0, unit="MiB"),
        told("profiles beyond the bound (all go to one)", figures["profiles_beyond_the_bound"], most=1.0),
        told(f"read of {SOME:,} profiles, all changed", figures["read_changed_ms"], most=20.0, unit="ms"),
    ]
    print(f"the same, nothing changed           {figures['read_again_ms']:6.1f} ms")
    print(f"describing all anew                 {figures['describe_all_ms']:6.1f} ms")
    print(f"a tick with {SOME:,} changed, in steps {figures['tick_ms']:6.1f} ms")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
