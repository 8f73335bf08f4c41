"""LatencySketch.record against ddsketch's add, interleaved; and the calls a request makes.

    python -m tests.benchmarks.bench_sketch [--json]

Needs ddsketch 3.0.1. Then the sketch's own promises, on heavy-tailed values: how far quantiles are off the
exact ones, and whether many merged sketches equal the one that saw everything.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable

from perfmw.profiles import LatencySketch, ProfileStore, Recorder, Routes
from tests.benchmarks.verdicts import told

BOUND = 0.5
ROUNDS = 25
QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


def values() -> list[float]:
    rnd = random.Random(1)
    return [rnd.lognormvariate(-5, 1) for _ in range(10_000)]


def microseconds(call: Callable[[float], object], data: list[float]) -> float:
    begun = time.perf_counter()
    for value in data:
        call(value)
    return (time.perf_counter() - begun) / len(data) * 1e6


def interleaved(calls: dict[str, Callable[[float], object]]) -> dict[str, float]:
    """The best round of each; one round of every call before the next round, so that noise hits all."""
    data = values()
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            best[name] = min(best[name], microseconds(call, data))
    return {name: round(value, 4) for name, value in best.items()}


def spread(seed: int) -> list[float]:
    """Durations from microseconds to minutes."""
    rnd = random.Random(seed)
    return [rnd.lognormvariate(-5, 2.5) for _ in range(100_000)]


def worst_error() -> float:
    """The largest relative error of a quantile, against the sorted values."""
    worst = 0.0
    for seed in range(5):
        data, sketch = spread(seed), LatencySketch()
        sketch.record_all(data)
        data.sort()
        for q, told_seconds in zip(QUANTILES, sketch.quantiles(QUANTILES), strict=True):
            exact = data[int(q * (len(data) - 1))]
            worst = max(worst, abs(told_seconds - exact) / exact)
    return worst


def merges() -> bool:
    """Whether 100 sketches of a thousand values, merged, are the sketch of them all."""
    data, whole, merged = spread(9), LatencySketch(), LatencySketch()
    whole.record_all(data)
    for start in range(0, len(data), 1_000):
        part = LatencySketch()
        part.record_all(data[start : start + 1_000])
        merged.merge(part)
    return merged == whole and merged.count == len(data)


def main() -> int:
    from ddsketch import DDSketch

    recorder, store, routes = Recorder("GET /a"), ProfileStore(), Routes()
    store.recorder("GET /a")
    scope = {"route": type("Route", (), {"path_format": "/a"})(), "root_path": ""}
    figures = interleaved(
        {
            "loop": lambda seconds: None,
            "ddsketch.add": DDSketch(0.01).add,
            "LatencySketch.record": LatencySketch().record,
            "Recorder.hit": recorder.hit,
            "Recorder.origin": lambda seconds: recorder.origin(seconds, 200, "uri-miss"),
            "Recorder.exception": lambda seconds: recorder.exception(seconds, "uri-miss"),
            "ProfileStore.recorder": lambda seconds: store.recorder("GET /a"),
            "Routes.name": lambda seconds: routes.name(scope, "GET", 200),
        }
    )
    ratio, error, exact = figures["LatencySketch.record"] / figures["ddsketch.add"], worst_error(), merges()
    if "--json" in sys.argv:
        print(json.dumps({"microseconds": figures, "ratio": ratio, "error": error, "merge_exact": exact}))
        return 0
    for name, microseconds in figures.items():
        print(f"{name:24s} {microseconds:.3f} µs")
    good = told("LatencySketch.record, of ddsketch's add", ratio, most=BOUND)
    good &= told("error of p50, p75, p90, p95, p99 and p99.9, the largest", error * 100, most=1.0, unit="%")
    good &= told("merges that equal recording everything in one", float(exact), least=1.0)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
