"""The forecaster: better than the naive ones where there is something to learn, near them elsewhere."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmw.resources import Forecaster
from perfmw.resources.forecast import MAX_HORIZONS
from perfmw.resources.seasons import SEASONS, SLOTS, Seasons
from tests.benchmarks.bench_forecast import DAY, HOUR, counted, judge, made


@pytest.mark.parametrize("seed", [11, 12])
def test_on_traffic_with_seasons_and_lasting_noise_it_beats_the_naive_forecasts(seed: int) -> None:
    figures = judge(made(14, 900, 0.2, 0.8, 500, seed))
    assert figures["mase"] <= 0.65
    assert figures["of_better_naive"] <= 0.9


def test_on_a_random_walk_it_stays_near_persistence() -> None:
    chance, value, rows = random.Random(3), 1000.0, []
    for index in range(1500):
        value = max(1.0, value + chance.gauss(0.0, 20.0))
        rows.append((index * 900.0, value))
    assert judge(rows)["of_better_naive"] <= 1.05


def test_on_a_pure_season_it_stays_near_the_season() -> None:
    chance = random.Random(4)
    rows = [
        (900.0 * index, 200.0 + 100.0 * math.sin(index * 900.0 / DAY * 2 * math.pi) + chance.gauss(0.0, 5.0))
        for index in range(1500)
    ]
    assert judge(rows)["of_better_naive"] <= 1.0


def test_the_interval_covers_what_it_says() -> None:
    rows, forecaster, told = made(14, 900, 0.2, 0.8, 500, 5), Forecaster(), {}
    for at, value in rows:
        forecaster.update(at, value)
        told[at + HOUR] = forecaster.interval(HOUR, 0.8)
    later = [(value, told[at]) for at, value in rows if at in told and told[at][0] == told[at][0]][96:]
    inside = sum(low <= value <= high for value, (low, high) in later)
    assert 0.7 <= inside / len(later) <= 0.9


def test_before_there_is_anything_to_say_it_says_so() -> None:
    forecaster = Forecaster()
    assert math.isnan(forecaster.forecast(HOUR))
    assert all(math.isnan(end) for end in forecaster.interval(HOUR))
    forecaster.update(0.0, 7.0)
    assert forecaster.forecast(HOUR) == pytest.approx(7.0)


def test_what_doubles_is_foreseen_doubled() -> None:
    """Nothing depends on the unit, and what falls below zero is no problem."""
    for factor in (2.0, 1e6, -1.0):
        plain, other = Forecaster(), Forecaster()
        for at, value in made(3, 900, 0.2, 0.8, 50, 8):
            plain.update(at, value)
            other.update(at, factor * value)
        if factor < 0.0:
            assert other.forecast(HOUR) < 0.0
        else:
            assert other.forecast(HOUR) == pytest.approx(factor * plain.forecast(HOUR))
            ends = [factor * end for end in plain.interval(HOUR)]
            assert other.interval(HOUR) == pytest.approx(tuple(ends))


def test_bursts_on_what_hardly_varies_are_soon_forgotten() -> None:
    """A burst that comes and goes is no reason to expect another; by plain values the error was 210."""
    rows = [(900.0 * index, 100.0 if index % 37 else 6400.0) for index in range(8 * 96)]
    forecaster, off = Forecaster(), []
    for at, value in rows:
        forecaster.update(at, value)
        off.append(abs(forecaster.forecast(HOUR) - 100.0))
    assert sum(off[96:]) / len(off[96:]) < 170.0


def test_a_horizon_asked_for_late_knows_the_past() -> None:
    early, late = Forecaster(), Forecaster()
    early.update(0.0, 1.0)
    early.forecast(HOUR)
    late.update(0.0, 1.0)
    for at, value in made(5, 900, 0.2, 0.8, 500, 6):
        early.update(at, value)
        late.update(at, value)
    assert late.forecast(HOUR) == pytest.approx(early.forecast(HOUR))


def test_a_rate_is_never_forecast_below_zero() -> None:
    forecaster = Forecaster()
    for index in range(400):
        forecaster.update(900.0 * index, max(0.0, 100.0 - index))
        assert forecaster.forecast(HOUR) >= 0.0


def test_late_and_not_finite_values_are_left_out() -> None:
    forecaster, other = Forecaster(), Forecaster()
    for at, value in made(2, 900, 0.2, 0.8, 500, 7):
        forecaster.update(at, value)
        other.update(at, value)
        other.update(at, 1e9)
        other.update(at - 5.0, 1e9)
        other.update(at + 1.0, math.nan)
    assert other.forecast(HOUR) == forecaster.forecast(HOUR)


@pytest.mark.parametrize("season", [0.0, -1.0, math.nan, math.inf])
def test_a_season_must_be_positive(season: float) -> None:
    with pytest.raises(ValueError, match="season must be a positive number"):
        Forecaster(season=season)


@pytest.mark.parametrize("horizon", [0.0, -1.0, math.nan])
def test_a_horizon_must_be_positive(horizon: float) -> None:
    forecaster = Forecaster()
    forecaster.update(0.0, 1.0)
    with pytest.raises(ValueError, match="horizon_seconds must be a positive number"):
        forecaster.forecast(horizon)


def test_coverage_is_a_share() -> None:
    with pytest.raises(ValueError, match="coverage must be between 0 and 1"):
        Forecaster().interval(HOUR, 1.0)


def test_memory_is_bounded() -> None:
    forecaster, seasons = Forecaster(season=3600.0), Seasons(3600.0)
    for index in range(SLOTS * SEASONS + 50):
        seasons.update(index * 12.5, 1.0)
    for horizon in range(MAX_HORIZONS + 1):
        forecaster.update(float(horizon), 1.0)
        forecaster.forecast(3600.0 + horizon)
    for index in range(1100):
        forecaster.update(20.0 + index, 1.0)
    assert len(seasons._slots) == SLOTS * SEASONS
    assert len(forecaster._horizons) == MAX_HORIZONS
    assert max(len(horizon._pending) for horizon in forecaster._horizons.values()) <= 1001


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 1e7), st.floats(-1e9, 1e9)), max_size=60))
def test_whatever_comes_the_forecast_is_a_number(rows: list[tuple[float, float]]) -> None:
    forecaster = Forecaster()
    forecaster.update(0.0, 1.0)
    for at, value in rows:
        forecaster.update(at, value)
        assert math.isfinite(forecaster.forecast(HOUR))


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_where_a_naive_forecast_is_best_it_is_nearly_as_good(seed: int) -> None:
    chance, value, walk = random.Random(seed), 1000.0, []
    for index in range(1000):
        value = max(1.0, value + chance.gauss(0.0, 20.0))
        walk.append((index * 900.0, value))
    assert judge(walk)["of_better_naive"] <= 1.05
    days = [
        (900.0 * index, 500.0 + 400.0 * math.sin(900.0 * index / DAY * 2 * math.pi)) for index in range(700)
    ]
    again = Forecaster()
    for at, rate in days:
        again.update(at, rate)
    assert again.forecast(HOUR) == pytest.approx(days[(len(days) - 1 + 4) % 96 + 96][1], rel=0.02)


def test_on_recorded_traffic_that_goes_on_as_it_is_that_is_nearly_as_good_too(data_dir: Path) -> None:
    name = "iio_us-east-1_i-a2eb1cd9_NetworkIn.csv.gz"
    rows = counted(data_dir / "anomaly" / "realAWSCloudwatch" / name, 900.0)
    assert judge(rows)["of_better_naive"] <= 1.05


def test_bursts_without_a_pattern_are_not_expected_to_last() -> None:
    """Half of the error of a mean where one value in ten is ten times the others."""
    chance, told, forecaster = random.Random(6), [], Forecaster()
    rows = [(900.0 * index, 1000.0 if chance.random() < 0.1 else 100.0) for index in range(1000)]
    for at, value in rows:
        forecaster.update(at, value)
        told.append(forecaster.forecast(HOUR))
    errors = [abs(told[index] - rows[index + 4][1]) for index in range(300, 996)]
    of_mean = [abs(190.0 - rows[index + 4][1]) for index in range(300, 996)]
    assert sum(errors) < 0.75 * sum(of_mean)


def test_after_standing_still_it_learns_again_what_is_best() -> None:
    chance, forecaster, errors = random.Random(8), Forecaster(), [0.0, 0.0]
    for index in range(300):
        forecaster.update(900.0 * index, 50.0)
        assert forecaster.forecast(HOUR) == pytest.approx(50.0)
    rows = [
        (900.0 * index, 500.0 + 400.0 * math.sin(900.0 * index / DAY * 2 * math.pi) + chance.gauss(0.0, 9.0))
        for index in range(300, 1500)
    ]
    for number, (at, value) in enumerate(rows):
        forecaster.update(at, value)
        if 400 <= number < len(rows) - 4:
            due = rows[number + 4][1]
            errors[0] += abs(forecaster.forecast(HOUR) - due)
            errors[1] += abs(rows[number + 4 - 96][1] - due)
    assert errors[0] <= 1.05 * errors[1]
