"""Hit ratios of every policy on recorded traces, against those of other implementations.

Run it as ``PERFMW_DATA=... python -m tests.benchmarks.bench_hit_ratios [--trace NAME] [--policy NAME]``.
Reference figures are read from ``traces/reference.csv`` of that folder (libCacheSim's, and theine's for
W-TinyLFU). ``--rivals`` also sends each trace through the caches of cachebox and theine that are installed.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from perfmw.cache.simulation import Access, read_trace, simulate
from tests.benchmarks.verdicts import told

REFERENCES = {
    "lru": "LRU",
    "fifo": "FIFO",
    "random": "Random",
    "lfu": "LFU",
    "sieve": "Sieve",
    "s3fifo": "S3FIFO",
    "arc": "ARC",
    "wtinylfu": "theine(W-TinyLFU)",
    "gdsf": "GDSF",
}
POINTS = {"lru": 0.002, "fifo": 0.002, "sieve": 0.5, "s3fifo": 0.5, "arc": 0.5, "wtinylfu": 0.5, "gdsf": 0.5}
"""How far a ratio may be off, in points; wtinylfu may be above, and gdsf counts where sizes differ."""
SIZED = "adapt_size"


@dataclass(frozen=True)
class Cell:
    trace: str
    size: int
    policy: str
    reference: float
    measured: float = 0.0

    @property
    def off(self) -> float:
        return 100 * (self.measured - self.reference)

    @property
    def needs(self) -> float | None:
        judged = self.policy != "gdsf" or self.trace == SIZED
        return POINTS.get(self.policy) if judged else None

    @property
    def wrong(self) -> float:
        return max(0.0, -self.off) if self.policy == "wtinylfu" else abs(self.off)

    @property
    def good(self) -> bool:
        return self.needs is None or self.wrong <= self.needs + 1e-9


@cache
def accesses(folder: Path, trace: str) -> list[Access]:
    return list(read_trace(next(iter(sorted((folder / "traces").glob(f"{trace}*.txt.gz"))))))


def cells(folder: Path) -> Iterator[Cell]:
    names = {reference: name for name, reference in REFERENCES.items()}
    with (folder / "traces" / "reference.csv").open() as rows:
        for row in csv.DictReader(rows):
            if row["policy"] in names:
                size, ratio = int(row["cache_size"]), float(row["hit_ratio"])
                yield Cell(row["trace"], size, names[row["policy"]], ratio)


def fill(folder: Path, cell: Cell) -> Cell:
    """The cell with what is measured here: a bound in bytes for the sized trace, where it is that large."""
    by: Literal["entries", "bytes"] = "bytes" if cell.trace == SIZED and cell.size > 100_000 else "entries"
    trace = accesses(folder, cell.trace)
    if by == "entries":
        trace = [(key, 1) for key, _ in trace]
    result = simulate(trace, cell.policy, cell.size, by=by)
    return Cell(cell.trace, cell.size, cell.policy, cell.reference, result.hit_ratio)


def _rival(get: Callable[[str], Any], put: Callable[[str], object], keys: list[str]) -> float:
    hits = 0
    for key in keys:
        if get(key) is None:
            put(key)
        else:
            hits += 1
    return hits / len(keys)


def rivals(folder: Path, trace: str, size: int) -> dict[str, float]:
    """Hit ratios of the libraries that are installed, each with its own policy."""
    keys = [key for key, _ in accesses(folder, trace)]
    ratios: dict[str, float] = {}
    if importlib.util.find_spec("cachebox"):
        import cachebox

        for name in ("LRUCache", "LFUCache", "FIFOCache"):
            box = getattr(cachebox, name)(size)
            ratios[f"cachebox.{name}"] = _rival(box.get, lambda key, box=box: box.insert(key, True), keys)
    if importlib.util.find_spec("theine"):
        from theine import Cache

        theine = Cache(size)
        ratios["theine.Cache"] = _rival(
            lambda key: theine.get(key)[0], lambda key: theine.set(key, True), keys
        )
    return ratios


def _print_rivals(folder: Path, chosen: list[Cell]) -> None:
    for trace, size in dict.fromkeys((cell.trace, cell.size) for cell in chosen if cell.trace != SIZED):
        found = rivals(folder, trace, size)
        told = "  ".join(f"{name} {100 * ratio:.2f}" for name, ratio in found.items())
        print(f"{trace:14} {size:9}  {told or 'neither cachebox nor theine is installed: skipped'}")


def main() -> int:
    """Print each cell; exit status 1 when one is off by more than it may be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    parser.add_argument("--trace")
    parser.add_argument("--policy")
    parser.add_argument("--rivals", action="store_true", help="also measure cachebox and theine")
    options = parser.parse_args()
    data = os.environ.get("PERFMW_DATA")
    if not data:
        print("skipped: PERFMW_DATA names no folder with traces")
        return 0
    folder = Path(data)
    chosen = [
        cell
        for cell in cells(folder)
        if options.trace in (None, cell.trace) and options.policy in (None, cell.policy)
    ]
    with ProcessPoolExecutor() as pool:
        filled = list(pool.map(fill, [folder] * len(chosen), chosen, chunksize=4))
    if options.json:
        print(json.dumps([asdict(cell) for cell in filled]))
    for cell in () if options.json else filled:
        verdict = "" if cell.needs is None else "ok" if cell.good else f"OFF (needs {cell.needs})"
        print(
            f"{cell.trace:14} {cell.size:9} {cell.policy:9} {100 * cell.measured:6.2f}"
            f"  reference {100 * cell.reference:6.2f}  {cell.off:+6.2f}  {verdict}"
        )
    if options.rivals:
        _print_rivals(folder, chosen)
    return int(not _judge([cell for cell in filled if cell.needs is not None]))


def _judge(cells: list[Cell]) -> bool:
    """Tell of each policy how far off the worst of its cells is."""
    held = [cell.good for cell in cells]
    for policy in dict.fromkeys(cell.policy for cell in cells):
        mine = [cell for cell in cells if cell.policy == policy]
        off = sum(not cell.good for cell in mine)
        worst = max(cell.wrong for cell in mine)
        what = f"{policy}: cells of {len(mine)} that are off (the worst by {worst:.2f} points)"
        told(what, off, most=0)
    return all(held)


if __name__ == "__main__":
    sys.exit(main())
