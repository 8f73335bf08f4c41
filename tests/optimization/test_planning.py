from __future__ import annotations

from typing import Any

import pytest

from perfmw.contracts import AppliedOptimization, Measurement, OptimizationStepResult
from perfmw.optimization.planning import (
    batches,
    conclude,
    find_profile,
    mean_score,
    overall_improvement,
    share_out,
)
from tests.optimization.world import make_opportunity, make_profile


def step(name: str, improvement: float | None, *, kept: bool, mean: float = 0.1) -> OptimizationStepResult:
    return OptimizationStepResult(
        name,
        kept,
        verdict="kept" if kept else "rolled_back",
        improvement=improvement,
        before=Measurement(requests=100, mean=mean),
    )


def applied(target: str, result: OptimizationStepResult) -> AppliedOptimization:
    return AppliedOptimization(result.step_id, "fake", target, {}, 0.0, result)


def test_changes_of_different_routes_may_be_tried_at_once() -> None:
    steps = [make_opportunity(name, target=f"GET /{name}") for name in "abcd"]
    assert [len(batch) for batch in batches(steps, [1.0] * 4, 1)] == [1, 1, 1, 1]
    together = batches(steps, [1.0, 2.0, 3.0, 4.0], 3)
    assert [[step.id for step, _ in batch] for batch in together] == [["a", "b", "c"], ["d"]]
    assert [seconds for _, seconds in together[0]] == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    "special", [{"critical": True}, {"toggles": False}, {"target": "all"}, {"target": "GET /a"}]
)
def test_what_concerns_others_is_tried_alone(special: dict[str, Any]) -> None:
    steps = [
        make_opportunity("a", target="GET /a"),
        make_opportunity("b", **({"target": "GET /b"} | special)),
    ]
    assert [len(batch) for batch in batches(steps, [1.0, 1.0], 5)] == [1, 1]


def test_improvements_of_one_target_compound() -> None:
    first, second = step("a", 0.5, kept=True), step("b", 0.5, kept=True, mean=0.05)
    assert overall_improvement([first, second], [applied("x", first), applied("x", second)]) == 0.75


def test_targets_weigh_by_the_time_they_took() -> None:
    slow, fast = step("a", 0.9, kept=True, mean=0.3), step("b", 0.1, kept=True, mean=0.1)
    total = overall_improvement([slow, fast], [applied("x", slow), applied("y", fast)])
    assert total == pytest.approx(0.75 * 0.9 + 0.25 * 0.1)


def test_nothing_measured_is_not_nothing_gained() -> None:
    assert overall_improvement([], []) is None
    assert overall_improvement([step("a", None, kept=False)], []) is None
    assert overall_improvement([step("a", 0.2, kept=False)], []) == 0.0


def test_a_skipped_step_was_not_executed() -> None:
    skipped = OptimizationStepResult("s", False, verdict="skipped")
    result = conclude("p", 1.0, [skipped, step("a", 0.5, kept=True)], [], None, [])
    assert (result.steps_executed, result.successful_steps) == (1, 1)


def test_profiles_are_found_by_id_before_name() -> None:
    one, two = make_profile("GET /a"), make_profile("GET /b")
    two.name = one.id
    assert find_profile([two, one], one.id) is one
    assert find_profile([two], one.id) is two
    with pytest.raises(KeyError, match="no profile"):
        find_profile([], "x")


def test_scores_weigh_by_requests() -> None:
    many, few = make_profile("GET /a", count=300, score=80.0), make_profile("GET /b", count=100, score=40.0)
    assert mean_score([many, few, make_profile("GET /c", score=None)]) == pytest.approx(70.0)
    assert mean_score([]) is None


def test_quiet_routes_get_longer_blocks_of_the_same_time_in_all() -> None:
    steps = [make_opportunity(name, target=name) for name in ("busy", "quiet", "unknown")]
    busy, quiet = make_profile("busy"), make_profile("quiet")
    busy.metrics.throughput.per_second, quiet.metrics.throughput.per_second = 90.0, 10.0
    lengths = share_out(steps, [busy, quiet], 5.0)
    assert sum(lengths) == pytest.approx(15.0)
    assert lengths[1] == pytest.approx(3 * lengths[0])
    assert lengths[2] == lengths[0]
    quiet.metrics.throughput.per_second = 0.01
    assert share_out(steps, [busy, quiet], 5.0)[1] == pytest.approx(
        4 * share_out(steps, [busy, quiet], 5.0)[0]
    )
    assert share_out([], [], 5.0) == []
