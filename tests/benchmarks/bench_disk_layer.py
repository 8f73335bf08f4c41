"""DiskLayer against diskcache: 4 KiB set and get, without eviction and with it.

Run it as ``python -m tests.benchmarks.bench_disk_layer``. Both caches are used through their
synchronous faces, in turns within one run.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import diskcache

from perfmw.cache import DiskLayer
from tests.benchmarks.verdicts import told

BODY = os.urandom(4096)
COUNT = 1_500
CHUNK = 50


def _race(ours: Callable[[str], object], theirs: Callable[[str], object], keys: list[str]) -> Iterator[float]:
    """Operations a second, ours to theirs, of a few keys at a time: each time a race of its own."""
    for start in range(0, len(keys), CHUNK):
        seconds = {}
        for work in (ours, theirs) if start // CHUNK % 2 else (theirs, ours):
            began = time.perf_counter()
            for key in keys[start : start + CHUNK]:
                work(key)
            seconds[work] = time.perf_counter() - began
        yield seconds[theirs] / seconds[ours]


def compare(folder: Path, policy: str, turns: int = 5) -> dict[str, float]:
    """The median ratio of operations a second, ours to theirs: set and get."""
    bound = 2**30
    ours = DiskLayer(folder / policy / "ours.db", max_bytes=bound).file
    theirs = diskcache.Cache(folder / policy / "theirs", eviction_policy=policy, size_limit=bound)
    ratios: dict[str, list[float]] = {"set": [], "get": []}
    for turn in range(turns):
        keys = [f"GET https://shop.example/{turn}/{number}" for number in range(COUNT)]
        ratios["set"] += _race(lambda key: ours.set(key, BODY), lambda key: theirs.set(key, BODY), keys)
        random.shuffle(keys)
        ratios["get"] += _race(ours.get, theirs.get, keys * 2)
    ours.close()
    theirs.close()
    return {name: statistics.median(values) for name, values in ratios.items()}


def main() -> int:
    """Print the figures; exit status 1 when one is below its limit."""
    with tempfile.TemporaryDirectory() as name:
        return _compare(Path(name))


def _compare(folder: Path) -> int:
    plain, against = compare(folder, "none"), "4 KiB, times as many a second as diskcache"
    held = [told(f"{what} {against} without eviction", plain[what], least=1.0) for what in ("get", "set")]
    evicting = compare(folder, "least-recently-used")
    held.append(told(f"get {against} with eviction on", evicting["get"], least=5))
    print(f"set {against} with eviction on: {evicting['set']:.2f}; not judged")
    return int(not all(held))


if __name__ == "__main__":
    sys.exit(main())
