"""``policy="adaptive"`` against each policy it may follow: on recorded traces, and on mixtures that change.

Run it as ``PERFMW_DATA=... python -m tests.benchmarks.bench_adaptive [--part stationary|mixed|cost]
[--accesses N]``. The traces are two halves, ``TUNED_ON`` and ``JUDGED_ON``: a constant of the policy is to be
chosen by the first, and the second is what counts. Sizes are shares of the distinct keys. A mixture is the
first accesses of several traces one after the other, each with keys of its own, through one cache.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cachetools

from perfmw.cache import MemoryLayer
from perfmw.cache.simulation import Access, parse_line, simulate
from tests.benchmarks.verdicts import told

STATIC = ("s3fifo", "arc", "wtinylfu", "gdsf", "lirs", "lru")
TUNED_ON = ("lirs_2_pools", "lirs_loop", "web07")
JUDGED_ON = ("lirs_ps", "lirs_sprite", "lirs_multi1", "orm-night")
SHARES = (0.02, 0.1, 0.3)
MOST_REGRET, LEAST_GAIN, MOST_COST = 3.0, 1.5, 4.0
Cell = tuple[str, int, tuple[str, ...]]
"""What it is called, the size in entries, and the traces that follow each other."""


def _trace(folder: Path, name: str, most: int) -> list[Access]:
    path = next(iter(sorted((folder / "traces").glob(f"{name}*.txt.gz"))))
    with gzip.open(path, "rt") as lines:
        parsed = (parse_line(line) for line in itertools.islice(lines, most))
        return [(f"{name} {access[0]}", 1) for access in parsed if access]


def _accesses(folder: Path, names: tuple[str, ...], most: int) -> list[Access]:
    return [access for name in names for access in _trace(folder, name, most)]


def _cells(folder: Path, part: str, most: int) -> Iterator[Cell]:
    if part == "stationary":
        for name in (*TUNED_ON, *JUDGED_ON):
            keys = len(set(_trace(folder, name, most)))
            for share in SHARES:
                yield name, max(20, int(keys * share)), (name,)
        return
    for first in (TUNED_ON, JUDGED_ON):
        for order in (first, first[::-1], first[1:] + first[:1]):
            for size in (100, 400):
                yield " > ".join(order), size, order


def _measure(folder: Path, cell: Cell, most: int) -> dict[str, float]:
    """Hit ratios in points."""
    accesses = _accesses(folder, cell[2], most)
    return {policy: 100 * simulate(accesses, policy, cell[1]).hit_ratio for policy in ("adaptive", *STATIC)}


def ratios(folder: Path, part: str, most: int) -> bool:
    """Print each cell, and for either split whether it holds; whether the judged one does."""
    cells = list(_cells(folder, part, most))
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(_measure, [folder] * len(cells), cells, [most] * len(cells)))
    holds = True
    for split in ("tuned on", "judged on"):
        names = TUNED_ON if split == "tuned on" else JUDGED_ON
        here = [(cell, one) for cell, one in zip(cells, found, strict=True) if cell[2][0] in names]
        print(f"--- {part}, {split} {', '.join(names)}: the first {most:,} accesses of each")
        for (name, size, _), one in here:
            best = max(STATIC, key=one.__getitem__)
            ratios_told = "  ".join(f"{policy} {ratio:5.2f}" for policy, ratio in one.items())
            print(f"{name:58} {size:6}  {ratios_told}  over {best} {one['adaptive'] - one[best]:+.2f}")
        good = _verdict(part, [one for _, one in here])
        holds = good if split == "judged on" else holds
    return holds


def _verdict(part: str, found: list[dict[str, float]]) -> bool:
    over_best = [one["adaptive"] - max(one[policy] for policy in STATIC) for one in found]
    gains = [one["adaptive"] - one["s3fifo"] for one in found]
    mean_of = {policy: statistics.mean(one[policy] for one in found) for policy in STATIC}
    best = max(mean_of, key=mean_of.__getitem__)
    over_static = statistics.mean(one["adaptive"] for one in found) - mean_of[best]
    gain = statistics.mean(gains)
    if part == "stationary":
        good = told("below the best of a cell, worst", -min(over_best), most=MOST_REGRET, unit="points")
        return told("mean over s3fifo", gain, least=0.0, unit="points") and good
    good = told(f"mean over the best static one, {best}", over_static, least=0.0, unit="points")
    return told("mean over s3fifo", gain, least=LEAST_GAIN, unit="points") and good


def cost(entries: int = 1_000, turns: int = 21) -> bool:
    """Print what a hit and a miss cost against cachetools.LRUCache, in turns; whether the hit's holds."""
    keys = [f"GET https://shop.example/items/{number}" for number in range(entries)]
    cycle = [f"GET https://shop.example/pages/{number}" for number in range(2 * entries)]
    layer = MemoryLayer(max_entries=entries, policy="adaptive")
    rival: cachetools.LRUCache[str, str] = cachetools.LRUCache(entries)
    worst: dict[str, list[float]] = {"hit": [], "miss_set_evict": []}
    for work, asked in (("hit", keys * 5), ("miss_set_evict", cycle)):
        for key in keys:
            layer.set_nowait(key, key)
            rival[key] = key
        for _ in range(turns):
            began = time.perf_counter()
            for key in asked:
                if layer.get_nowait(key) is None:
                    layer.set_nowait(key, key)
            between = time.perf_counter()
            for key in asked:
                if rival.get(key) is None:
                    rival[key] = key
            worst[work].append((between - began) / (time.perf_counter() - between))
    told("a miss, of cachetools.LRUCache's", statistics.median(worst["miss_set_evict"]))
    return told("a hit, of cachetools.LRUCache's", statistics.median(worst["hit"]), most=MOST_COST)


def main() -> int:
    """Print the figures; exit status 1 when one does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=["stationary", "mixed", "cost"])
    parser.add_argument("--accesses", type=int, default=20_000, help="of each trace, from its beginning")
    options = parser.parse_args()
    data = os.environ.get("PERFMW_DATA")
    parts = [options.part] if options.part else ["cost", "stationary", "mixed"]
    holds = True
    for part in parts:
        if part == "cost":
            holds &= cost()
        elif data:
            holds &= ratios(Path(data), part, options.accesses)
        else:
            print(f"{part}: skipped, for PERFMW_DATA names no folder with traces")
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
