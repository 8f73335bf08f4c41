"""The plugin perfmw-ml against the built-in policies, on recorded traces and on access logs with their URLs.

Run it as ``PERFMW_DATA=... python -m tests.benchmarks.bench_ml [--accesses N] [--cells WORD] [--json]``.
``alone`` is the learned policy by itself, ``learned`` what the plugin registers: it is followed only where
it wins. Both train where they stand, so that a trace without a clock waits for its model. Sizes are shares of
the distinct keys, or of their bytes. Says in the end how many cells each won; the exit status is 1 where
``learned`` is on the mean below ``adaptive``, or in a cell by more than 3 points below the best built-in.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from perfmw.cache.eviction import POLICIES
from perfmw.cache.simulation import Access, read_trace, simulate
from tests.benchmarks.bench_prefetch import requests_of
from tests.benchmarks.verdicts import told

BUILT_IN = ("s3fifo", "arc", "wtinylfu", "gdsf", "lirs", "lru")
TRACES = ("web07", "orm-night", "lirs_sprite", "lirs_multi1", "lirs_ps", "adapt_size")
SHARES = (0.02, 0.1)
MOST_REGRET = 3.0


@dataclass(frozen=True)
class Cell:
    trace: str
    by: Literal["entries", "bytes"]
    share: float


@dataclass(frozen=True)
class Found:
    """Hit ratios in points, and microseconds that the plugin takes for a miss."""

    cell: Cell
    size: int
    ratios: dict[str, float]
    us_a_miss: float

    @property
    def best(self) -> str:
        return max(BUILT_IN, key=self.ratios.__getitem__)

    def over_best(self, policy: str) -> float:
        return self.ratios[policy] - self.ratios[self.best]


@cache
def accesses(folder: Path, name: str, most: int) -> list[Access]:
    if name.endswith(".log.gz"):
        found = [(url, max(1, size)) for _, url, _, size in requests_of(folder / "logs" / name)]
    else:
        found = list(read_trace(next(iter(sorted((folder / "traces").glob(f"{name}*"))))))
    return found[:most]


def cells(folder: Path) -> Iterator[Cell]:
    logs = sorted(path.name for path in (folder / "logs").glob("*.log.gz"))
    for name in (*TRACES, *logs):
        for share in SHARES:
            if name != "adapt_size":
                yield Cell(name, "entries", share)
            if name == "adapt_size" or name in logs:
                yield Cell(name, "bytes", share)


def measure(folder: Path, cell: Cell, most: int) -> Found:
    from perfmw_ml import Brain, LearnedPolicy

    class Inline(LearnedPolicy):
        def __init__(self, capacity: int) -> None:
            super().__init__(capacity, Brain(threaded=False), lambda: 0.0)

    class Alone(Inline):
        rivals = ()

    trace = accesses(folder, cell.trace, most)
    weights = dict(trace)
    if cell.by == "entries":
        trace, weights = [(key, 1) for key, _ in trace], dict.fromkeys(weights, 1)
    size = max(20, int(sum(weights.values()) * cell.share))
    known = {**POLICIES, "learned": Inline, "alone": Alone}
    ratios, spent = {}, 0.0
    for policy in (*BUILT_IN, "adaptive", "alone", "learned"):
        began = time.process_time()
        ratios[policy] = 100 * simulate(trace, policy, size, by=cell.by, policies=known).hit_ratio
        spent = time.process_time() - began
    misses = max(1.0, len(trace) * (1 - ratios["learned"] / 100))
    return Found(cell, size, ratios, spent / misses * 1e6)


def verdict(found: list[Found]) -> bool:
    for name in ("alone", "learned"):
        over = [one.over_best(name) for one in found]
        won, lost = sum(gain > 0.1 for gain in over), sum(gain < -0.1 for gain in over)
        print(
            f"{name}: above all built-in policies in {won} of {len(found)} cells, below the best in {lost};"
        )
        print(f"    mean {statistics.mean(over):+.2f} against the best of each cell, worst {min(over):+.2f}")
    print(
        f"cost of a miss, with training, median: {statistics.median(one.us_a_miss for one in found):.0f} us"
    )
    gain = statistics.mean(one.ratios["learned"] - one.ratios["adaptive"] for one in found)
    worst = min(one.over_best("learned") for one in found)
    good = told("learned over adaptive, mean", gain, least=0.0, unit="points")
    return told("learned over the best of a cell, worst", worst, least=-MOST_REGRET, unit="points") and good


def main() -> int:
    """Print each cell and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accesses", type=int, default=30_000, help="of each, from its beginning")
    parser.add_argument("--cells", default="", help="only of traces whose name has this in it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = os.environ.get("PERFMW_DATA")
    if not data or not all(map(importlib.util.find_spec, ("perfmw_ml", "sklearn"))):
        print("skipped: needs perfmw-ml installed, and PERFMW_DATA naming a folder with traces")
        return 0
    chosen = [cell for cell in cells(Path(data)) if options.cells in cell.trace]
    count = len(chosen)
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(measure, [Path(data)] * count, chosen, [options.accesses] * count))
    if options.json:
        print(json.dumps([asdict(one) for one in found]))
        return 0
    for one in found:
        listed = "  ".join(f"{policy} {ratio:5.2f}" for policy, ratio in one.ratios.items())
        cell = f"{one.cell.trace} {one.cell.by} {one.cell.share:.0%}"
        print(f"{cell:28} {one.size:9}  {listed}  learned over {one.best} {one.over_best('learned'):+.2f}")
    return int(not verdict(found))


if __name__ == "__main__":
    sys.exit(main())
