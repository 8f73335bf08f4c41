"""Numbers as text and as lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.contracts import Stat
from perfmw.dashboard import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.001, "<0.01"),
        (0.5, "0.50"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (99.96, "100"),
        (1234.5, "1,234"),
    ],
)
def test_three_digits(value: float, text: str) -> None:
    assert figures.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0, "0 s"),
        (-0.115218, "−115 ms"),
        (0.00042, "420 µs"),
        (0.0009996, "1.00 ms"),
        (0.0123, "12.3 ms"),
        (0.9996, "1.00 s"),
        (90, "90.0 s"),
        (240, "4.00 min"),
        (36_000, "10.0 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert figures.duration(seconds).replace(figures.SPACE, " ") == text


def test_counts_sizes_rates_and_ages() -> None:
    assert (figures.count(99_999), figures.count(125_118), figures.count(3_400_000)) == (
        "99,999",
        "125k",
        "3.40M",
    )
    assert figures.size(9_300_000).replace(figures.SPACE, " ") == "8.87 MiB"
    assert figures.rate(12.34) == "12.3/s"
    assert figures.ago(1) == "just now"
    assert figures.ago(95).replace(figures.SPACE, " ") == "95 s ago"
    assert figures.span(300).replace(figures.SPACE, " ") == "5 min"
    assert figures.span(200_000) == "2 days"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (87.4, "/100", ("87", "/100")),
        (71.34, "%", ("71.3", "%")),
        (46.7, "ms", ("46.7", "ms")),
        (2_300.0, "ms", ("2.30", "s")),
        (0.2, "ms", ("200", "µs")),
        (3.0, "requests", ("3.00", "requests")),
        (None, "ms", ("–", "")),
    ],
)
def test_a_stat_has_its_unit_apart(value: float | None, unit: str, shown: tuple[str, str]) -> None:
    figure = figures.stat_figure(Stat("x", value, unit, 1))
    assert (figure.value, figure.unit) == shown


@pytest.mark.parametrize(
    ("change", "better", "word", "arrow"),
    [
        (None, "up", "no trend yet", ""),
        (0.001, "up", "steady", "→"),
        (0.2, "up", "better", "▲"),
        (-0.2, "up", "worse", "▼"),
        (0.2, "down", "worse", "▲"),
        (-0.2, "down", "better", "▼"),
    ],
)
def test_a_trend_is_said_in_words(change: float | None, better: str, word: str, arrow: str) -> None:
    shown = figures.trend(Stat("x", 1.0, "%", 1, change, better))  # type: ignore[arg-type]
    assert (shown.word, shown.arrow) == (word, arrow)


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=80))
def test_a_line_stays_in_its_frame(series: list[float]) -> None:
    spark = figures.spark(series, 240, 56)
    points = [tuple(map(float, point.split(","))) for point in spark.line[1:].split("L")]
    assert len(points) == len(series)
    assert (points[0][0], points[-1][0]) == (0.0, 240.0)
    assert all(2.9 <= y <= 53.1 for _, y in points)
    if max(series) > min(series):
        assert points[series.index(max(series))][1] == min(y for _, y in points)


def test_one_point_is_no_line() -> None:
    assert figures.spark([1.0]) == figures.Spark("", "")
    assert figures.spark([5.0, 5.0], 10, 20).line == "M0.0,10.0L10.0,10.0"
    assert figures.spark([0.0, 0.0], 10, 20).line == "M0.0,10.0L10.0,10.0"


def test_a_ripple_does_not_look_like_a_collapse() -> None:
    assert figures.spark([100.0, 98.0], 10, 26).line == "M0.0,12.0L10.0,14.0"
    assert figures.spark([100.0, 0.0], 10, 26).line == "M0.0,3.0L10.0,23.0"
