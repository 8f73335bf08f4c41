"""AnomalyDetector on the labelled series: the NAB score at its frozen threshold, and what a point costs.

    PERFMW_DATA=... python -m tests.benchmarks.bench_anomaly [--json]

``held out``: the detector's parameters were chosen by hand on these series. How much that flatters is
estimated with the one that matters most, the threshold: chosen on a random half of the series, scored on the
other, 60 times.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from math import exp, sqrt
from pathlib import Path

from perfmw.monitoring import AnomalyDetector, ChangeDetector
from tests.benchmarks.nab import Outcome, Series, outcome, read_corpus, scaled
from tests.benchmarks.verdicts import told

THRESHOLDS = [0.46 + 0.005 * step for step in range(19)]


def scores_of(series: Series) -> list[float]:
    """The detector's score of each point."""
    detector = AnomalyDetector()
    return [detector.score(at, value) for at, value in zip(series.times, series.values, strict=True)]


def judged(
    corpus: Mapping[str, Series], scores: Mapping[str, Sequence[float]], threshold: float
) -> dict[str, Outcome]:
    """Each series' outcome at a threshold."""
    return {
        name: outcome(series, [index for index, score in enumerate(scores[name]) if score >= threshold])
        for name, series in corpus.items()
    }


def held_out(
    corpus: Mapping[str, Series], scores: Mapping[str, Sequence[float]], halvings: int = 30
) -> float:
    """The mean score on halves that did not choose the threshold. Seed 1."""
    tables = [judged(corpus, scores, threshold) for threshold in THRESHOLDS]
    names, found, chance = sorted(corpus), [], random.Random(1)
    for _ in range(halvings):
        chance.shuffle(names)
        half = len(names) // 2
        for chosen_on, tested_on in ((names[:half], names[half:]), (names[half:], names[:half])):
            best = max(tables, key=lambda table: scaled([table[name] for name in chosen_on]))
            found.append(scaled([best[name] for name in tested_on]))
    return statistics.fmean(found)


def measure() -> dict[str, float]:
    corpus = read_corpus(Path(os.environ["PERFMW_DATA"]) / "anomaly")
    begun = time.thread_time()
    scores = {name: scores_of(series) for name, series in corpus.items()}
    seconds = time.thread_time() - begun
    outcomes = list(judged(corpus, scores, AnomalyDetector.threshold).values())
    return {
        "nab": scaled(outcomes),
        "held_out": held_out(corpus, scores),
        "windows_found": sum(one.found for one in outcomes),
        "windows": sum(one.windows for one in outcomes),
        "false_alarms": sum(one.false_alarms for one in outcomes),
        "microseconds_a_point": seconds / sum(len(series.values) for series in corpus.values()) * 1e6,
    }


def steps(noise: float, correlation: float = 0.0, runs: int = 50) -> float:
    """The share of steps of +20% that are found within 25 buckets.

    Buckets are latencies whose logarithm has that standard deviation, and that correlation with the next.
    """
    found = 0
    for number in range(runs):
        values = _latencies(random.Random(number), 325, noise, correlation)
        raised = _changes([value * (1.2 if at >= 300 else 1.0) for at, value in enumerate(values)])
        found += any(300 <= at < 325 for at in raised)
    return found / runs


def false_alarms(quiet: int = 200_000) -> float:
    """Changes found where there are none, in 10,000 buckets."""
    noises = ((0.05, 0.0), (0.1, 0.0), (0.1, 0.5), (0.2, 0.0))
    series = [_latencies(random.Random(7), quiet // len(noises), *noise) for noise in noises]
    return sum(len(_changes(values)) for values in series) * 10_000 / quiet


def _latencies(chance: random.Random, count: int, noise: float, correlation: float) -> list[float]:
    level, found = 0.0, []
    for _ in range(count):
        level = correlation * level + chance.gauss(0.0, noise * sqrt(1 - correlation**2))
        found.append(0.08 * exp(level))
    return found


def _changes(values: Sequence[float]) -> list[int]:
    detector = ChangeDetector()
    return [at for at, value in enumerate(values) if detector.update(60.0 * at, value) is not None]


def main() -> None:
    figures = measure()
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    told("NAB standard profile, frozen threshold", figures["nab"], least=62)
    told("threshold from other series", figures["held_out"], least=62)
    print(f"windows found: {figures['windows_found']:.0f} of {figures['windows']:.0f}")
    print(f"false alarms: {figures['false_alarms']:.0f}")
    told("a point, processor time", figures["microseconds_a_point"], most=10, unit="us")
    told("+20% latency found within 25 buckets, noise 5%", steps(0.05), least=0.99)
    told("+20% latency found within 25 buckets, noise 5%, correlated by half", steps(0.05, 0.5), least=0.9)
    told("+20% latency found within 25 buckets, noise 10%", steps(0.1), least=0.9)
    told("false alarms in 10,000 buckets", false_alarms(), most=1)


if __name__ == "__main__":
    main()
