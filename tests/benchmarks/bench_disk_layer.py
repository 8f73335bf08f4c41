"""DiskLayer against diskcache: 4 KiB set and get, without eviction and with it.

Run it as a script: ``python tests/benchmarks/bench_disk_layer.py [--kills N]``; ``--kills`` runs kill -9
trials of two writers in its place. Both caches are used through their synchronous faces, in turns within one
run.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import diskcache

from perfmw.cache import DiskLayer

BODY = os.urandom(4096)
COUNT = 1_500


def _timed(work: Callable[[str], object], keys: list[str]) -> float:
    began = time.perf_counter()
    for key in keys:
        work(key)
    return len(keys) / (time.perf_counter() - began)


def compare(folder: Path, policy: str, turns: int = 5) -> dict[str, float]:
    """The median ratio of operations a second, ours to theirs: set and get."""
    bound = 2**30
    ours = DiskLayer(folder / policy / "ours.db", max_bytes=bound).file
    theirs = diskcache.Cache(folder / policy / "theirs", eviction_policy=policy, size_limit=bound)
    ratios: dict[str, list[float]] = {"set": [], "get": []}
    for turn in range(turns):
        keys = [f"GET https://shop.example/{turn}/{number}" for number in range(COUNT)]
        mine = _timed(lambda key: ours.set(key, BODY), keys)
        rival = _timed(lambda key: theirs.set(key, BODY), keys)
        ratios["set"].append(mine / rival)
        random.shuffle(keys)
        mine, rival = _timed(ours.get, keys * 2), _timed(theirs.get, keys * 2)
        ratios["get"].append(mine / rival)
    print(f"  last turn: get {mine:,.0f} a second, diskcache {rival:,.0f}")
    ours.close()
    theirs.close()
    return {name: statistics.median(values) for name, values in ratios.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=0, help="run this many kill -9 trials")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        return _kill(Path(name), options.kills) if options.kills else _compare(Path(name))


def _compare(folder: Path) -> int:
    plain = compare(folder, "none")
    print(f"without eviction: set {plain['set']:.2f}x, get {plain['get']:.2f}x diskcache's (needs >= 1.0)")
    evicting = compare(folder, "least-recently-used")
    print(f"with eviction on: set {evicting['set']:.2f}x, get {evicting['get']:.2f}x (get needs >= 5)")
    return int(min(plain.values()) < 1.0 or evicting["get"] < 5)


def _kill(folder: Path, trials: int) -> int:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.cache.test_disk import kill_trial

    source = random.Random(1)
    results = []
    for trial in range(trials):
        path = folder / "c.db"
        results.append(kill_trial(path, source.random() * 0.3, trial * 1_000_000))
    lost, torn = sum(one["lost"] for one in results), sum(one["torn"] for one in results)
    slowest = max(one["opened"] for one in results)
    acknowledged = sum(one["acknowledged"] for one in results)
    print(f"{trials} kills: {acknowledged} acknowledged, {lost} lost, {torn} torn")
    print(f"opened in at most {slowest * 1e3:.0f} ms (needs < 50)")
    return int(bool(lost or torn) or slowest > 0.05)


if __name__ == "__main__":
    sys.exit(main())
