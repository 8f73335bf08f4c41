from __future__ import annotations

import pytest

from perfmw.monitoring.slo import burning
from perfmw.monitoring.timeline import Annotation, Timeline

DAY = 86_400.0


def steady(rate: float, per_second: float = 10.0) -> object:
    return lambda seconds: (int(seconds * per_second), int(seconds * per_second * rate))


def test_within_the_budget_nobody_is_woken() -> None:
    assert burning("p", "GET /x", 0.999, steady(0.001), DAY) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "severity"), [(0.02, "high"), (0.008, "high"), (0.004, "medium")])
def test_a_fast_burn_is_high_a_slow_one_medium(rate: float, severity: str) -> None:
    found = burning("p", "GET /x", 0.999, steady(rate), 2 * DAY)  # type: ignore[arg-type]
    assert found is not None
    assert (found.severity, found.key) == (severity, "p:slo:availability")
    assert "times as fast as it may" in found.message


def test_what_is_over_is_not_told_though_the_long_window_remembers() -> None:
    def counted(seconds: float) -> tuple[int, int]:
        return (int(seconds * 10), 0 if seconds <= 7200 else 20_000)

    assert burning("p", "GET /x", 0.999, counted, DAY) is None


def test_a_single_bad_minute_after_a_start_is_no_burnt_budget() -> None:
    def counted(_seconds: float) -> tuple[int, int]:
        return 1_000, 20  # all that there ever was, in two minutes

    assert burning("p", "GET /x", 0.999, counted, 120.0) is None
    assert burning("p", "GET /x", 0.999, counted, 3600.0) is not None


def test_few_requests_say_nothing() -> None:
    assert burning("p", "GET /x", 0.999, lambda _s: (9, 9), DAY) is None


@pytest.mark.parametrize("objective", [0.0, 1.0, -1.0, 2.0])
def test_objectives(objective: float) -> None:
    with pytest.raises(ValueError, match="objective"):
        burning("p", "GET /x", objective, lambda _s: (9, 9), DAY)


def test_the_timeline_keeps_order_and_bound() -> None:
    timeline = Timeline(most=3)
    for at in (10.0, 30.0, 20.0, 40.0):
        timeline.add(Annotation(at, "deploy", f"at {at}"))
    assert [one.at for one in timeline.items()] == [20.0, 30.0, 40.0]
    assert [one.at for one in timeline.items(since=30.0)] == [30.0, 40.0]


def test_many_purges_of_a_minute_are_one() -> None:
    timeline = Timeline()
    for at in range(100):
        timeline.join(Annotation(float(at), "purge", f"tag {at}"))
        if at == 30:
            timeline.add(Annotation(30.0, "deploy", "v2"))
    purges = [one for one in timeline.items() if one.kind == "purge"]
    assert [(one.at, one.count) for one in purges] == [(0.0, 60), (60.0, 40)]


def test_what_was_done_around_a_moment() -> None:
    timeline = Timeline()
    for at in (0.0, 950.0, 1_050.0, 1_500.0):
        timeline.add(Annotation(at, "deploy", "x" * 600))
    assert [one.at for one in timeline.around(1_000.0)] == [950.0, 1_050.0]
    assert len(timeline.items()[0].text) == 500
