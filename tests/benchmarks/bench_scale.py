"""What an operation of MemoryLayer costs with 1,000,000 entries against 1,000, the same memory resident.

Run it as a script: ``python tests/benchmarks/bench_scale.py [--policy NAME] [--json]``. Processor caches make
any dictionary slower as it grows, so that one layer of 1,000,000 entries is compared with 1,000 layers of
1,000 that hold the same entries, read in the same random order.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time

from perfmw.cache import MemoryLayer

LIMIT = 1.6
SMALL = 1_000
OPERATIONS = 20_000
Work = list[tuple[MemoryLayer, str]]


def _hits(work: Work) -> float:
    began = time.perf_counter()
    for layer, key in work:
        layer.get_nowait(key)
    return (time.perf_counter() - began) / len(work)


def _misses(work: Work) -> float:
    began = time.perf_counter()
    for layer, key in work:
        if layer.get_nowait(key) is None:
            layer.set_nowait(key, key)
    return (time.perf_counter() - began) / len(work)


def measure(policy: str, entries: int, turns: int) -> dict[str, dict[str, float]]:
    """Nanoseconds of a hit and of a miss that stores and evicts, at both sizes, and their median ratio."""
    large = MemoryLayer(max_entries=entries, policy=policy)
    small = [MemoryLayer(max_entries=SMALL, policy=policy) for _ in range(entries // SMALL)]
    keys = [f"GET https://shop.example/items/{number}" for number in range(entries)]
    for number, key in enumerate(keys):
        large.set_nowait(key, key)
        small[number % len(small)].set_nowait(key, key)
    source = random.Random(7)
    picked = [source.sample(range(entries), min(OPERATIONS, entries)) for _ in range(turns)]
    figures: dict[str, dict[str, float]] = {}
    for name, run in (("hit", _hits), ("miss_set_evict", _misses)):
        prefix = "" if name == "hit" else "new "
        costs: dict[str, list[float]] = {"small": [], "large": []}
        for now in picked:
            named = [(number, prefix + keys[number]) for number in now]
            costs["small"].append(run([(small[number % len(small)], key) for number, key in named]))
            costs["large"].append(run([(large, key) for _, key in named]))
        ratios = [b / a for a, b in zip(costs["small"], costs["large"], strict=True)]
        figures[name] = {
            "small_ns": statistics.median(costs["small"]) * 1e9,
            "large_ns": statistics.median(costs["large"]) * 1e9,
            "ratio": statistics.median(ratios),
        }
    return figures


def main() -> int:
    """Print the figures; exit status 1 when a ratio is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--policy", default="lru")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    figures = measure(options.policy, options.entries, options.turns)
    if options.json:
        print(json.dumps(figures))
    for name, figure in {} if options.json else figures.items():
        print(
            f"{name:16} {options.entries // SMALL:,} x 1,000 {figure['small_ns']:6.0f} ns"
            f"   1 x {options.entries:,} {figure['large_ns']:6.0f} ns"
            f"   ratio {figure['ratio']:.2f} (needs <= {LIMIT})"
        )
    return int(any(figure["ratio"] > LIMIT for figure in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
