"""The learned TTL against the best fixed one at equal staleness.

Run it as a script: ``python -m tests.benchmarks.bench_ttl [--salts 3] [--json]``. Changes are made by
processes of several kinds, and, where PERFMW_DATA names a folder that has them, recorded ones; reads are Zipf
over the keys and Poisson in time. The defaults were chosen with documents of even numbers and the seeds 10 to
20; this runs the odd ones and other seeds, a salt each for the reads.

``informed`` is what TTLs would come to that are told the true rates of each key's reads and changes, and have
one price of a stale read for all: for changes at random times nothing that follows rates can do better. Where
keys are alike, or read hardly more often than they change, that is no third below the best fixed TTL either.
Where many keys change at one moment, a few of them tell of the rest, and no TTLs can do as well.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import os
import random
import statistics
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from perfmw.learning import AdaptiveTTL, fixed_miss_ratio, rehearse_ttl
from perfmw.learning.hazard import best_ttl
from tests.benchmarks.verdicts import told

Changes = dict[str, list[float]]
YEARS = 8 * 365 * 86400.0
LIMIT = 0.7
"""Misses at equal staleness, against the fixed TTL's; on recorded changes with dense reads."""

Gap = Callable[[random.Random, float], float]
PROCESSES: dict[str, Gap] = {
    "poisson": lambda chance, rate: chance.expovariate(rate),
    "bursts": lambda chance, rate: chance.weibullvariate(0.5 / rate, 0.5),
    "schedule": lambda chance, rate: chance.uniform(0.8, 1.2) / rate,
}


def recorded() -> Changes:
    path = Path(os.environ.get("PERFMW_DATA", "")) / "changes" / "documents.csv.gz"
    changes: Changes = {}
    if os.environ.get("PERFMW_DATA") and path.exists():
        with gzip.open(path, "rt") as lines:
            for row in csv.DictReader(lines):
                if int(row["document"]) % 2:
                    changes.setdefault(f"document/{row['document']}", []).append(float(row["changed_at"]))
    return {key: sorted(times) for key, times in changes.items()}


def made(gap: Gap, keys: int = 300, seed: int = 101) -> Changes:
    chance = random.Random(seed)
    changes: Changes = {}
    for number in range(keys):
        rate = math.exp(chance.gauss(0, 1.5)) * 20 / YEARS
        times, now = [], 0.0
        while now < YEARS:
            times.append(now)
            now += gap(chance, rate) + 1.0
        changes[f"page/{number}"] = times
    return changes


def together(share: float, keys: int = 300, seed: int = 101) -> Changes:
    """At 40 moments so large a share of the keys changes, drawn anew each time, and nothing between."""
    chance = random.Random(seed)
    moments = sorted(chance.uniform(0.0, YEARS) for _ in range(40))
    return {f"page/{n}": [0.0, *(at for at in moments if chance.random() < share)] for n in range(keys)}


def reads_of(changes: Changes, count: int, seed: int = 102, zipf: float = 0.9) -> list[tuple[float, str]]:
    chance = random.Random(seed)
    keys = sorted(changes)
    chance.shuffle(keys)
    begin, end = min(times[0] for times in changes.values()), max(times[-1] for times in changes.values())
    weights = [1 / (rank + 1) ** zipf for rank in range(len(keys))]
    moments = sorted(chance.uniform(begin, end) for _ in range(count))
    chosen = chance.choices(keys, weights, k=count)
    return [(now, key) for now, key in zip(moments, chosen, strict=True) if now >= changes[key][0]]


def informed_miss_ratio(order: list[tuple[float, str]], changes: Changes, stale_share: float) -> float:
    """Of TTLs that know the rates, at the least price of a stale read that keeps to ``stale_share``."""
    end = order[-1][0]
    span = end - order[0][0]
    reads = Counter(key for _, key in order)
    rates = {key: max(len(times) - 1, 0.3) / (end - times[0] + 1) for key, times in changes.items()}
    low, high, found = 0.0, math.log(1e5), 1.0
    for _ in range(9):
        middle = (low + high) / 2
        price = math.exp(middle)
        ttls = {key: best_ttl(count / span, rates[key], price)[0] for key, count in reads.items()}
        stale, misses = replayed(order, changes, ttls)
        if stale > stale_share:
            low = middle
        else:
            high, found = middle, misses
    return found


def replayed(order: list[tuple[float, str]], changes: Changes, ttls: dict[str, float]) -> tuple[float, float]:
    """The shares of reads that are stale, and that are misses, with a TTL for each key."""
    stale = misses = 0
    kept: dict[str, tuple[float, int]] = {}
    for now, key in order:
        version = bisect_right(changes[key], now)
        expires, held = kept.get(key, (now, -1))
        if now < expires:
            stale += version != held
        else:
            misses += 1
            kept[key] = now + ttls[key], version
    return stale / len(order), misses / len(order)


def cases(reads: int, salt: int) -> Iterator[tuple[str, Changes, list[tuple[float, str]]]]:
    documents = recorded()
    if documents:
        yield "recorded", documents, reads_of(documents, reads, 102 + salt)
        yield "recorded, dense", documents, reads_of(documents, 4 * reads, 102 + salt)
    for name, gap in PROCESSES.items():
        changes = made(gap, seed=101 + salt)
        yield name, changes, reads_of(changes, reads, 102 + salt)
    for name, share in {"all together": 1.0, "half together": 0.5}.items():
        changes = together(share, seed=101 + salt)
        yield name, changes, reads_of(changes, reads, 102 + salt)


def measure(
    reads: int = 100_000, caps: tuple[float, ...] = (0.01, 0.05), salt: int = 0
) -> list[dict[str, float | str | bool]]:
    found: list[dict[str, float | str | bool]] = []
    for name, changes, order in cases(reads, salt):
        for cap in caps:
            began = time.process_time()
            outcome = rehearse_ttl(order, changes, AdaptiveTTL(max_stale=cap))
            spent = time.process_time() - began
            fixed = fixed_miss_ratio(order, changes, outcome.stale_share, steps=12)
            found.append(
                {
                    "case": name,
                    "max_stale": cap,
                    "stale": outcome.stale_share,
                    "miss_ratio": outcome.miss_ratio,
                    "fixed_miss_ratio": fixed,
                    "ratio": outcome.miss_ratio / fixed,
                    "informed": informed_miss_ratio(order, changes, outcome.stale_share) / fixed,
                    "kept_to_cap": outcome.stale_share <= cap,
                    "us_a_read": spent / len(order) * 1e6,
                }
            )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--salts", type=int, default=1, help="how many to take the median of")
    options = parser.parse_args()
    found = [row for salt in range(options.salts) for row in measure(options.reads, salt=salt)]
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for row in found:
        print(
            f"{row['case']:16} cap {row['max_stale']:.3f}: stale {row['stale']:.4f},"
            f" misses {row['miss_ratio']:.3f}, best fixed {row['fixed_miss_ratio']:.3f},"
            f" ratio {row['ratio']:.2f} (informed {row['informed']:.2f}), {row['us_a_read']:.1f} us a read"
        )
    ratios = [float(row["ratio"]) for row in found]
    apart = [float(row["ratio"]) - float(row["informed"]) for row in found]
    beyond = sum(not row["kept_to_cap"] for row in found)
    good = told("misses at equal staleness, median of the cases", statistics.median(ratios), most=LIMIT)
    good &= told("above that of the informed, median of the cases", statistics.median(apart), most=0.05)
    return int(not told("cases beyond their cap", beyond, most=0) or not good)


if __name__ == "__main__":
    sys.exit(main())
