"""The hit ratio that is predicted of another size or policy, against the one that comes after the change.

Run it as a script: ``python -m tests.benchmarks.bench_predicted [--json]``. A memory layer serves the first
half of a trace. What is learned of it meanwhile predicts what another size (by the miss-ratio curve) or
another policy (by a rehearsal of the reads, as the dashboard's what-if does) would give. Then the layer is
changed, and serves the second half. Made traces do not change their kind; recorded ones, where PERFMW_DATA
names a folder that has them, do, and what they change by is part of the error.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perfmw.cache import MemoryLayer
from perfmw.cache.simulation import Access, read_trace, simulate
from perfmw.learning import MissRatioCurve
from tests.benchmarks.verdicts import told

LENGTH = 80_000
MOST_RECORDED = 60_000
FACTORS = (0.5, 2.0)
POLICIES = ("s3fifo", "wtinylfu", "arc")
MOST = 0.02


def traces() -> Iterator[tuple[str, list[Access]]]:
    chance = random.Random(61)
    for exponent, keys in ((0.8, 4_000), (1.1, 4_000)):
        weights = [1 / (rank + 1) ** exponent for rank in range(keys)]
        yield f"zipf {exponent}", [(str(key), 1) for key in chance.choices(range(keys), weights, k=LENGTH)]
    weights = [1 / (rank + 1) for rank in range(2_000)]
    hot = chance.choices(range(2_000), weights, k=LENGTH)
    yield (
        "zipf, half read once",
        [(f"once {number}" if chance.random() < 0.5 else str(key), 1) for number, key in enumerate(hot)],
    )
    folder = os.environ.get("PERFMW_DATA")
    for name in ("web07", "lirs_sprite", "lirs_2_pools", "orm-night") if folder else ():
        path = next(iter(sorted((Path(folder or "") / "traces").glob(f"{name}*.txt.gz"))))
        yield name, [(key, 1) for key, _ in itertools.islice(read_trace(path), MOST_RECORDED)]


def serve(layer: MemoryLayer, accesses: list[Access]) -> float:
    before = layer.hits
    for key, _ in accesses:
        if layer.get_nowait(key) is None:
            layer.set_nowait(key, True)
    return (layer.hits - before) / len(accesses)


def predicted_size(seen: list[Access], size: int, now: float, factor: float) -> float:
    """What is hit now, and what the curve of the later half says that another size changes."""
    curve, half, sizes = MissRatioCurve(), len(seen) // 2, [size, round(size * factor)]
    early = [0.0, 0.0]
    for number, (key, _) in enumerate(seen):
        if number == half:
            early = curve.curve(sizes)
        curve.access(key)
    before, after = (2 * whole - begun for whole, begun in zip(curve.curve(sizes), early, strict=True))
    return now + after - before


def predicted_policy(seen: list[Access], size: int, now: float, policy: str) -> float:
    return now + late(seen, policy, size) - late(seen, "lru", size)


def late(seen: list[Access], policy: str, size: int) -> float:
    """The hit ratio of the later half, by when the cache has filled."""
    half = seen[: len(seen) // 2]
    return 2 * simulate(seen, policy, size).hit_ratio - simulate(half, policy, size).hit_ratio


def measure(name: str, trace: list[Access], share: float) -> Iterator[dict[str, Any]]:
    half = len(trace) // 2
    seen, then = trace[:half], trace[half:]
    size = max(20, int(len({key for key, _ in trace}) * share))
    for change in (*FACTORS, *POLICIES):
        layer = MemoryLayer(max_entries=size)
        serve(layer, seen[: half // 2])
        now = serve(layer, seen[half // 2 :])
        if isinstance(change, float):
            predicted = predicted_size(seen, size, now, change)
            layer.resize(max_entries=round(size * change))
        else:
            predicted = predicted_policy(seen, size, now, change)
            layer.set_policy(change)
        realised = serve(layer, then)
        unchanged = MemoryLayer(max_entries=size)
        serve(unchanged, seen)
        drift = serve(unchanged, then) - now
        yield {
            "trace": name,
            "size": size,
            "change": change,
            "predicted": predicted,
            "realised": realised,
            "error": abs(predicted - realised),
            "without_drift": abs(predicted + drift - realised),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = [row for name, trace in traces() for share in (0.03, 0.1) for row in measure(name, trace, share)]
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for row in found:
        name = f"{row['trace']:22} {row['size']:6} -> {row['change']!s:9}"
        figures = [f"{what} {row[what]:.3f}" for what in ("predicted", "realised", "error", "without_drift")]
        print(name, *figures)
    made = sorted(row["error"] for row in found if row["trace"].startswith("zipf"))
    good = told("error where work stays alike, of nine cells in ten", made[len(made) * 9 // 10], most=MOST)
    good &= told("error, median of all", statistics.median(row["error"] for row in found), most=MOST)
    drifting = statistics.median(row["without_drift"] for row in found)
    return int(not told("error less what the work changed, median of all", drifting, most=MOST) or not good)


if __name__ == "__main__":
    sys.exit(main())
