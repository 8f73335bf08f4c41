"""What takes points off the score."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.contracts.profiles import ScorePart
from perfmw.monitoring.scoring import MOVERS, explain_score


def route(name: str, weight: float, **scores: float) -> tuple[str, str, float, list[ScorePart]]:
    parts = [ScorePart(part, score, 1 / len(scores), f"{part} of {name}") for part, score in scores.items()]
    return name, name, weight, parts


def test_the_slow_busy_route_moves_it_most() -> None:
    found = explain_score(
        [route("busy", 9.0, latency=50.0, errors=100.0), route("idle", 1.0, latency=0.0, errors=90.0)]
    )
    assert found is not None
    assert found.routes == 2
    assert found.score == pytest.approx(0.9 * 75 + 0.1 * 45)
    assert [(one.route, one.part) for one in found.movers] == [
        ("busy", "latency"),
        ("idle", "latency"),
        ("idle", "errors"),
    ]
    assert found.movers[0].lost == pytest.approx(22.5)
    assert found.movers[0].reason == "latency of busy"
    assert [one.name for one in found.parts] == ["latency", "errors"]


def test_nothing_is_explained_before_there_is_a_score() -> None:
    assert explain_score([]) is None
    assert explain_score([route("new", 1.0)]) is None


@given(
    st.lists(
        st.tuples(st.floats(0.0, 1e6), st.floats(0.0, 100.0), st.floats(0.0, 100.0)), min_size=1, max_size=20
    )
)
def test_score_and_points_lost_add_up(rows: list[tuple[float, float, float]]) -> None:
    found = explain_score(route(f"r{n}", w, latency=a, errors=b) for n, (w, a, b) in enumerate(rows))
    assert found is not None
    assert found.score + sum(part.lost for part in found.parts) == pytest.approx(100.0)
    assert sum(part.weight for part in found.parts) == pytest.approx(1.0)
    assert len(found.movers) <= MOVERS
