"""LatencySketch.record against ddsketch's add, interleaved; and the calls a request makes.

Run: python tests/benchmarks/bench_sketch.py (needs ddsketch 3.0.1). Prints JSON, exits 1 above the bound.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable

from perfmw.profiles import LatencySketch, ProfileStore, Recorder, Routes

BOUND = 0.5
ROUNDS = 25


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
    ratio = figures["LatencySketch.record"] / figures["ddsketch.add"]
    print(json.dumps({"microseconds": figures, "ratio": round(ratio, 3), "bound": BOUND}, indent=2))
    return 0 if ratio <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
