"""The anomaly detector: its range, its memory, what it finds and what it leaves alone, and its score."""

from __future__ import annotations

import math
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmw.monitoring import AnomalyDetector
from perfmw.monitoring.anomaly import WINDOW
from tests.benchmarks.bench_anomaly import held_out, judged, scores_of
from tests.benchmarks.nab import Series, outcome, read_corpus, scaled

BEGIN = 1_700_000_000.0


def _alarms(values: list[float], seconds: float = 300.0) -> list[int]:
    detector = AnomalyDetector()
    scores = [detector.score(BEGIN + seconds * index, value) for index, value in enumerate(values)]
    return [index for index, score in enumerate(scores) if score >= AnomalyDetector.threshold]


def _noise(points: int, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [100.0 + chance.gauss(0.0, 5.0) for _ in range(points)]


@settings(max_examples=50)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=200))
def test_a_score_is_within_0_and_1_whatever_comes(values: list[float]) -> None:
    detector = AnomalyDetector()
    assert all(0.0 <= detector.score(BEGIN + index, value) <= 1.0 for index, value in enumerate(values))


@pytest.mark.parametrize("hole", [math.nan, math.inf, 1e300])
def test_what_is_not_finite_is_left_out(hole: float) -> None:
    values = _noise(300)
    with_holes = [value for known in values for value in (known, hole)]
    one, other = AnomalyDetector(), AnomalyDetector()
    expected = [one.score(BEGIN, value) for value in values]
    assert [other.score(BEGIN, value) for value in with_holes][::2] == expected
    assert other.score(BEGIN, -math.inf) == 0.0


def test_memory_is_constant() -> None:
    detector = AnomalyDetector()
    for index, value in enumerate(_noise(3 * WINDOW)):
        detector.score(BEGIN + 60.0 * index, value)
    assert {len(view._sorted) for view in detector._views} == {WINDOW}
    assert {len(view._ring) for view in detector._views} == {WINDOW}


@pytest.mark.parametrize("after", [180.0, 20.0])
def test_a_spike_in_noise_is_found_at_once(after: float) -> None:
    values = _noise(1500)
    values[1000] = after
    assert 1000 in _alarms(values)


def test_a_step_is_one_incident_and_not_many() -> None:
    values = [value + (60.0 if index >= 1000 else 0.0) for index, value in enumerate(_noise(1500))]
    alarms = [at for at in _alarms(values) if at >= 1000]
    assert alarms[0] == 1000
    assert len(alarms) <= 3


def test_a_value_that_is_usual_at_another_hour_is_unusual_at_this() -> None:
    day = 288
    chance = random.Random(5)
    values = [
        50.0 + 40.0 * math.sin(2 * math.pi * index / day) + chance.gauss(0, 1) for index in range(day * 10)
    ]
    at = day * 8 + day // 4  # the daily top: a value of the slopes would pass every look but the hour's
    values[at : at + 6] = [50.0] * 6
    assert any(at <= alarm < at + 6 for alarm in _alarms(values))


@pytest.mark.parametrize("value", [0.0, 45.0])
def test_a_flat_line_is_no_anomaly(value: float) -> None:
    assert _alarms([value] * 2000) == []


def test_noise_raises_few_alarms() -> None:
    assert len(_alarms(_noise(20_000, seed=3))) <= 20


def test_scoring_rewards_early_alarms_and_charges_for_false_and_missed_ones() -> None:
    series = Series([float(i) for i in range(1000)], [0.0] * 1000, [(500, 599)])
    early, late = outcome(series, [500]), outcome(series, [599])
    assert early.raw == pytest.approx(1.0)
    assert 0.0 < late.raw < 0.05
    assert outcome(series, []).raw == -1.0
    assert outcome(series, [300]).raw == pytest.approx(-1.11)
    assert outcome(series, [500, 550, 700]).raw < 1.0
    assert outcome(series, [10]).raw == -1.0  # while it learns
    assert scaled([early]) == pytest.approx(100.0)
    assert scaled([outcome(series, [])]) == 0.0


def test_the_score_on_labelled_series() -> None:
    folder = os.environ.get("PERFMW_DATA")
    if folder is None:
        pytest.skip("PERFMW_DATA names no folder with the labelled series")
    corpus = read_corpus(Path(folder) / "anomaly")
    scores = {name: scores_of(series) for name, series in corpus.items()}
    assert scaled(list(judged(corpus, scores, AnomalyDetector.threshold).values())) >= 62.0
    assert held_out(corpus, scores, halvings=5) >= 60.0
