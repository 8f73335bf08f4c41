"""Figures as shapes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.dashboard.charts import (
    HEIGHT,
    LEAST_WIDTH,
    MOST_BARS,
    MOST_FRAMES,
    ROW,
    WIDTH,
    chart,
    flame_graph,
    hottest,
    nice,
    spark_of,
    waterfall,
)
from perfmw.profiles.breakdown import Part
from perfmw.profiles.flame import Flame


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", path)]


@given(st.floats(1e-9, 1e9))
def test_a_nice_number_is_at_or_above_and_not_far(value: float) -> None:
    assert value <= nice(value) * (1 + 1e-9)
    assert nice(value) <= 2 * value


def test_a_line_is_interrupted_where_nothing_is_known() -> None:
    made = chart([0, 10, 20, 30], {"p50": [1.0, None, 2.0, 2.0]}, (0, 40))
    (line,) = made.lines
    assert line.path.count("M") == 2
    assert points(line.path) == [(0, HEIGHT / 2), (500, 0), (750, 0)]
    assert not made.empty


def test_marks_are_within_the_frame() -> None:
    made = chart([0], {"p50": [0.01]}, (0, 10), {"target": 0.03})
    assert made.top >= 0.03
    assert [mark.name for mark in made.marks] == ["target"]
    assert 0 <= float(made.marks[0].path.removeprefix("M0,").partition("H")[0]) <= HEIGHT


def test_a_chart_of_nothing_is_empty() -> None:
    assert chart([], {"p50": []}, (0, 10)).empty
    assert chart([1], {"p50": [None]}, (0, 10)).empty
    assert not chart([1], {"p50": [0.0]}, (0, 10)).empty


@given(st.lists(st.tuples(st.floats(-50, 150), st.none() | st.floats(0, 1e6)), max_size=30))
def test_every_point_is_in_the_frame(given_points: list[tuple[float, float | None]]) -> None:
    made = chart([at for at, _ in given_points], {"a": [value for _, value in given_points]}, (0, 100))
    for x, y in points(made.lines[0].path):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_sparks_need_two_points() -> None:
    assert spark_of([1.0]) == spark_of([]) == spark_of([0.0, 0.0]) == ""
    assert points(spark_of([0.0, 2.0])) == [(0, 19), (80, 1)]


def test_a_waterfall_is_in_order_and_knows_its_depths() -> None:
    parts = [
        Part("query", "SELECT ?", 10.5, 10.75, span_id=3, parent_id=2),
        Part("internal", "load", 10.25, 10.75, span_id=2, parent_id=1),
        Part("integration", "GET partner", 10.8, 12.0, failed=True, span_id=4, parent_id=1),
    ]
    first, second, third = waterfall(parts, 10.0, 1.0)
    assert [one.name for one in (first, second, third)] == ["load", "SELECT ?", "GET partner"]
    assert (first.left, first.width, first.depth) == (25.0, 50.0, 0)
    assert (second.left, second.width, second.depth) == (50.0, 25.0, 1)
    assert (third.failed, third.left + third.width <= 200.0, third.start) == (True, True, pytest.approx(0.8))


def test_a_waterfall_is_bounded_and_survives_a_circle() -> None:
    parts = [
        Part("query", "q", 1.0, 2.0, span_id=1, parent_id=2),
        Part("query", "r", 1.0, 2.0, span_id=2, parent_id=1),
    ]
    assert all(bar.depth <= 6 for bar in waterfall(parts, 0.0, 5.0))
    assert len(waterfall([Part("query", "q", 1.0, 2.0)] * 400, 0.0, 5.0)) == MOST_BARS
    assert waterfall([Part("query", "q", 1.0, 2.0)], 0.0, 0.0)[0].width == 100.0


def tree() -> Flame:
    leaf = Flame("render (app.py:9)", 0.5)
    return Flame(
        "GET /a",
        1.0,
        [
            Flame("view (app.py:1)", 0.9, [leaf, Flame("render (app.py:9)", 0.2)]),
            Flame("tiny (x.py:1)", 1e-6),
        ],
    )


def test_a_flame_graph_draws_what_can_be_seen() -> None:
    graph = flame_graph(tree())
    assert [(frame.name.split()[0], frame.y // ROW) for frame in graph.frames] == [
        ("GET", 0), ("view", 1), ("render", 2), ("render", 2),
    ]  # fmt: skip
    assert graph.frames[2].x == 0.0
    assert graph.frames[3].x == pytest.approx(500.0)
    assert graph.height == 3 * ROW
    assert all(frame.width >= LEAST_WIDTH for frame in graph.frames)
    assert graph.frames[0].label == "GET /a"


def test_the_hottest_functions_are_those_that_take_time_themselves() -> None:
    first, second, *_ = hottest(tree())
    assert (first.name, first.own) == ("render (app.py:9)", pytest.approx(0.7))
    assert (second.name, second.own, second.total) == (
        "view (app.py:1)",
        pytest.approx(0.2),
        pytest.approx(0.9),
    )


def test_a_function_that_calls_itself_counts_once() -> None:
    root = Flame("GET /a", 1.0, [Flame("f", 1.0, [Flame("f", 0.6)])])
    assert [(one.own, one.total) for one in hottest(root)] == [(1.0, 1.0)]


def test_a_flame_graph_of_nothing_and_one_too_large() -> None:
    assert flame_graph(Flame("GET /a", 0.0)).frames == []
    wide = Flame(
        "GET /a",
        1.0,
        [
            Flame(f"f{n}", 1 / 400, [Flame("g", 1 / 400, [Flame("h", 1 / 400, [Flame("i", 1 / 400)])])])
            for n in range(400)
        ],
    )
    assert len(flame_graph(wide).frames) == MOST_FRAMES


@given(st.text(max_size=60), st.floats(0.003, 1.0))
def test_a_label_fits_its_frame(name: str, share: float) -> None:
    root = Flame("GET /a", 1.0, [Flame(name, share)])
    frame = flame_graph(root).frames[1]
    assert len(frame.label) * 6 <= frame.width
