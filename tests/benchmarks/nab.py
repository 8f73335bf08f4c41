"""The scoring of the Numenta Anomaly Benchmark, standard profile, written from its published description.

Lavin and Ahmad, "Evaluating Real-Time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark",
ICMLA 2015. Each labelled anomaly has a window. The earliest alarm in a window earns up to 1, more the
earlier it is; a window without one costs 1; each alarm outside of any costs up to 0.11, less if it comes
shortly after a window. The sum is put on a scale where 0 is a detector that never speaks and 100 a
perfect one. The first 15% of a series (at most 750 points) are for learning: alarms there do not count.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import exp
from pathlib import Path

FALSE_POSITIVE = 0.11
PROBATION = 0.15
PROBATION_POINTS = 750


@dataclass(frozen=True, slots=True)
class Series:
    """One file: unix seconds, values, and the first and last index of each anomaly's window."""

    times: Sequence[float]
    values: Sequence[float]
    windows: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the alarms on a series are worth, before scaling."""

    raw: float
    found: int
    windows: int
    false_alarms: int


def outcome(series: Series, alarms: Sequence[int]) -> Outcome:
    """The worth of alarms, given as indices."""
    probation = min(int(PROBATION * len(series.values)), PROBATION_POINTS)
    earned: dict[tuple[int, int], float] = {}
    raw, false_alarms = 0.0, 0
    for at in alarms:
        if at < probation:
            continue
        window = next((one for one in series.windows if one[0] <= at <= one[1]), None)
        if window is None:
            raw += _cost(series.windows, at)
            false_alarms += 1
        else:
            earned[window] = max(earned.get(window, -1.0), _worth(window, at))
    missed = len(series.windows) - len(earned)
    return Outcome(raw + sum(earned.values()) - missed, len(earned), len(series.windows), false_alarms)


def scaled(outcomes: Sequence[Outcome]) -> float:
    """The score of a corpus, of 100."""
    windows = sum(one.windows for one in outcomes)
    return 100.0 * (sum(one.raw for one in outcomes) + windows) / (2 * windows)


def _sigmoid(position: float) -> float:
    return 2.0 / (1.0 + exp(5.0 * position)) - 1.0


def _worth(window: tuple[int, int], at: int) -> float:
    begin, end = window
    return _sigmoid(-(end - at + 1) / (end - begin + 1)) / _sigmoid(-1.0)


def _cost(windows: Sequence[tuple[int, int]], at: int) -> float:
    before = [window for window in windows if window[1] < at]
    if not before:
        return -FALSE_POSITIVE
    begin, end = before[-1]
    position = (at - end) / (end - begin)
    return FALSE_POSITIVE * (_sigmoid(position) if position <= 3.0 else -1.0)


def read_corpus(folder: Path) -> dict[str, Series]:
    """Every ``group/name.csv.gz`` of a folder that has a ``windows.json``."""
    labels = json.loads((folder / "windows.json").read_text())
    files = sorted(folder.glob("*/*.csv.gz"))
    return {path.parent.name + "/" + path.stem: _read(path, labels) for path in files}


def _read(path: Path, labels: Mapping[str, Sequence[Sequence[str]]]) -> Series:
    with gzip.open(path, "rt") as file:
        rows = [line.strip().split(",") for line in file][1:]
    times = [_seconds(time) for time, _ in rows]
    windows = [
        _indices(times, _seconds(a), _seconds(b)) for a, b in labels[f"{path.parent.name}/{path.stem}"]
    ]
    return Series(times, [float(value) for _, value in rows], windows)


def _indices(times: Sequence[float], begin: float, end: float) -> tuple[int, int]:
    inside = [index for index, time in enumerate(times) if begin <= time <= end]
    return inside[0], inside[-1]


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp()
