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
from pathlib import Path

from perfmw.monitoring import AnomalyDetector
from tests.benchmarks.nab import Outcome, Series, outcome, read_corpus, scaled

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
    begun = time.perf_counter()
    scores = {name: scores_of(series) for name, series in corpus.items()}
    seconds = time.perf_counter() - begun
    outcomes = list(judged(corpus, scores, AnomalyDetector.threshold).values())
    return {
        "nab": scaled(outcomes),
        "held_out": held_out(corpus, scores),
        "windows_found": sum(one.found for one in outcomes),
        "windows": sum(one.windows for one in outcomes),
        "false_alarms": sum(one.false_alarms for one in outcomes),
        "microseconds_a_point": seconds / sum(len(series.values) for series in corpus.values()) * 1e6,
    }


def main() -> None:
    figures = measure()
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    print(f"NAB standard profile, frozen threshold  {figures['nab']:.1f} (>= 62)")
    print(f"threshold from other series             {figures['held_out']:.1f}")
    print(
        f"windows found                           {figures['windows_found']:.0f} of {figures['windows']:.0f}"
    )
    print(f"false alarms                            {figures['false_alarms']:.0f}")
    print(f"a point                                 {figures['microseconds_a_point']:.1f} us (<= 10)")


if __name__ == "__main__":
    main()
