"""Every figure of learning again, on work of other kinds than it was developed with.

Run it as a script, a row at a time: ``python -m tests.benchmarks.bench_heldout --row ROW [--seed 1]``. ROW is
curves, adaptive, mixed, ttl, prefetch, partition or predicted. Work is made by ``families``, and recorded
work where PERFMW_DATA names a folder of it: blocks of traces and clients of logs, drawn by chance.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from perfmw.cache import MemoryLayer
from perfmw.learning import (
    AdaptiveTTL,
    Partitioner,
    fixed_miss_ratio,
    rehearse_ttl,
)
from tests.benchmarks import bench_curves, bench_partition, bench_predicted, bench_prefetch, families
from tests.benchmarks.bench_adaptive import STATIC
from tests.benchmarks.bench_ttl import informed_miss_ratio, reads_of
from tests.benchmarks.verdicts import told

MOST_OF_LOG = 30_000


def curves(seed: int) -> bool:
    rows = [bench_curves.measure(name, trace, salts=2) for name, trace in families.traces(seed).items()]
    for row in rows:
        print(f"{row['trace']:24} {row['keys']:6} keys: error {row['mae']:.4f}, {row['us_an_access']:.2f} us")
    large = max(float(row["mae"]) for row in rows if int(row["keys"]) >= bench_curves.MANY)
    small = max(float(row["mae"]) for row in rows if int(row["keys"]) < bench_curves.MANY)
    good = told("error, 10,000 keys or more, worst", large, most=0.01)
    good &= told("error, fewer keys, worst", small, most=0.005)
    spent = statistics.median(float(row["us_an_access"]) for row in rows)
    return told("an access, median", spent, most=2.0, unit="us") and good


Cell = tuple[str, list[str], int, tuple[int, ...]]
"""What it is called, the keys, the size, and where its phases end."""


def _served(trace: list[str], policy: str, size: int, ends: tuple[int, ...]) -> list[float]:
    """The hits of each phase, in points of all accesses."""
    layer, found, start = MemoryLayer(max_entries=size, policy=policy), list[float](), 0
    for end in ends:
        hits = 0
        for key in trace[start:end]:
            if layer.get_nowait(key) is None:
                layer.set_nowait(key, key)
            else:
                hits += 1
        found.append(100 * hits / len(trace))
        start = end
    return found


def _hits(cell: Cell) -> dict[str, float]:
    """Hit ratios; ``oracle`` is what following the best of each phase would give if changing cost nothing."""
    _, trace, size, ends = cell
    phases = {policy: _served(trace, policy, size, ends) for policy in ("adaptive", *STATIC)}
    best = (max(phases[policy][number] for policy in STATIC) for number in range(len(ends)))
    return {policy: sum(hits) for policy, hits in phases.items()} | {"oracle": sum(best)}


def _all_hits(cells: list[Cell]) -> list[dict[str, float]]:
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(_hits, cells))
    for (name, _, size, _), one in zip(cells, found, strict=True):
        best = max(STATIC, key=one.__getitem__)
        print(
            f"{name:44} {size:6} "
            + " ".join(f"{policy} {ratio:.2f}" for policy, ratio in one.items())
            + f" over {best} {one['adaptive'] - one[best]:+.2f}"
        )
    return found


def adaptive(seed: int) -> bool:
    cells: list[Cell] = [
        (name, trace, max(20, int(len(set(trace)) * share)), (len(trace),))
        for name, trace in families.traces(seed, 40_000).items()
        for share in (0.03, 0.15)
    ]
    found = _all_hits(cells)
    worst = max(max(one[policy] for policy in STATIC) - one["adaptive"] for one in found)
    good = told("below the best of a cell, worst", worst, most=3.0, unit="points")
    gain = statistics.mean(one["adaptive"] - one["s3fifo"] for one in found)
    return told("mean over s3fifo", gain, least=0.0, unit="points") and good


def mixed(seed: int) -> bool:
    known, chance = families.traces(seed, 25_000), random.Random(seed)
    cells = list[Cell]()
    for _ in range(6):
        names = chance.sample(sorted(known), 3)
        trace = [f"{name} {key}" for name in names for key in known[name]]
        ends = tuple(itertools.accumulate(len(known[name]) for name in names))
        cells += [(" > ".join(names), trace, size, ends) for size in (150, 600)]
    found = _all_hits(cells)
    means = {policy: statistics.mean(one[policy] for one in found) for policy in found[0]}
    best = max(STATIC, key=means.__getitem__)
    good = told(
        f"mean over the best static one, {best}", means["adaptive"] - means[best], least=0.0, unit="points"
    )
    told("mean over s3fifo of the best of each phase", means["oracle"] - means["s3fifo"], unit="points")
    return told("mean over s3fifo", means["adaptive"] - means["s3fifo"], least=1.5, unit="points") and good


def ttl(seed: int) -> bool:
    ratios, apart, beyond = [], [], 0
    for name, changes in families.histories(seed).items():
        order = reads_of(changes, 60_000, 102 + seed)
        for cap in (0.01, 0.05):
            outcome = rehearse_ttl(order, changes, AdaptiveTTL(max_stale=cap))
            fixed = fixed_miss_ratio(order, changes, outcome.stale_share, steps=10)
            informed = informed_miss_ratio(order, changes, outcome.stale_share) / fixed
            ratios.append(outcome.miss_ratio / fixed)
            apart.append(ratios[-1] - informed)
            beyond += outcome.stale_share > cap
            print(
                f"{name:14} cap {cap}: stale {outcome.stale_share:.4f}, misses {outcome.miss_ratio:.3f},"
                f" ratio {ratios[-1]:.2f} (informed {informed:.2f})"
            )
    good = told("misses at equal staleness, median of the cases", statistics.median(ratios), most=0.7)
    good &= told("above that of the informed, median of the cases", statistics.median(apart), most=0.05)
    return told("cases beyond their cap", beyond, most=0) and good


def prefetch(seed: int) -> bool:
    logs = {"made": families.site(seed)}
    folder = os.environ.get("PERFMW_DATA")
    for path in sorted((Path(folder) / "logs").glob("*.log.gz")) if folder else []:
        drawn = families.some_clients(bench_prefetch.requests_of(path), seed)
        logs[path.name.split(".")[0]] = drawn[:MOST_OF_LOG]
    good = True
    for name, requests in logs.items():
        pages = [one for one in requests if not bench_prefetch.EMBEDDED.search(one[1].split("?")[0])]
        for kind, some in (("all", requests), ("pages", pages)):
            good &= bench_prefetch.judged(bench_prefetch.measure(f"{name} {kind}", some))
    return good


def partition(seed: int) -> bool:
    known = {name: trace[: bench_partition.LENGTH] for name, trace in families.traces(seed, 30_000).items()}
    known["scan"] = [f"row {number}" for number in range(bench_partition.LENGTH)]
    groups = random.Random(seed).sample(list(itertools.combinations(sorted(known), 2)), 10)
    tight, roomy = list[float](), list[float]()
    for names in groups:
        accesses = bench_partition.mixed({name: known[name] for name in names}, seed)
        half, learned = len(accesses) // 2, Partitioner()
        for access in accesses[:half]:
            learned.access(*access)
        for share in (0.01, 0.03, 0.1, 0.3):
            capacity = max(10, int(len(set(accesses)) * share))
            parts = learned.plan(capacity).parts
            shared = bench_partition.hits(accesses, capacity, half)
            got = shared if parts is None else bench_partition.hits(accesses, parts, half)
            (tight if share <= bench_partition.TIGHT else roomy).append(100 * (got - shared))
            print(
                f"{'+'.join(names):48} {share:.0%}: shared {shared:.3f}, {100 * (got - shared):+.2f} points"
            )
    good = told(
        "gain over one pool where it is tight, mean", statistics.mean(tight), least=2.0, unit="points"
    )
    return told("gain where there is room, least", min(roomy), least=-0.5, unit="points") and good


def predicted(seed: int) -> bool:
    rows = []
    for name, trace in families.traces(seed, 50_000).items():
        for row in bench_predicted.measure(name, [(key, 1) for key in trace], 0.05):
            rows.append(row)
            print(
                f"{name:24} {row['size']:6} -> {row['change']!s:9} error {row['error']:.3f}"
                f" without drift {row['without_drift']:.3f}"
            )
    good = told("error, median of all", statistics.median(row["error"] for row in rows), most=0.02)
    drifting = statistics.median(row["without_drift"] for row in rows)
    return told("error less what the work changed, median of all", drifting, most=0.02) and good


ROWS: dict[str, Callable[[int], bool]] = {
    one.__name__: one for one in (curves, adaptive, mixed, ttl, prefetch, partition, predicted)
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", choices=list(ROWS), required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return int(not ROWS[options.row](options.seed))


if __name__ == "__main__":
    sys.exit(main())
