"""Approval, re-checks and withdrawal of what was kept, and changes that cannot be toggled."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from perfmw.contracts import OptimizationRequest
from perfmw.optimization import CacheRouteOptimizer, Ledger
from perfmw.optimization.experiment import Block, judge_once, plan_once
from perfmw.profiles.recorder import Recorder
from tests.optimization.world import ROUTE, FakeOptimizer, World, make_opportunity, make_route

pytestmark = pytest.mark.anyio
QUICK = OptimizationRequest(blocks=8, block_seconds=2.0)
ASK = OptimizationRequest(approval=True)


async def test_what_waits_is_tried_once_somebody_approves(world: World) -> None:
    engine = world.engine()
    asked = await engine.optimize(ASK)
    assert [(step.verdict, step.reason) for step in asked.steps] == [("skipped", "waits for approval")]
    assert world.controls.calls == [], "nothing was touched"
    [waiting] = engine.ledger.waiting()
    result = await engine.approve(waiting.id, QUICK, who="ann")
    assert result.successful_steps == 1
    assert world.controls.rules == {"a": 1.0}
    assert engine.ledger.waiting() == []
    approved = [entry for entry in engine.ledger.entries() if entry.kind == "approved"]
    assert [entry.who for entry in approved] == ["ann"]
    with pytest.raises(ValueError, match="does not wait"):
        await engine.approve(waiting.id)


async def test_what_was_rejected_is_not_proposed_again(world: World, tmp_path: Any) -> None:
    engine = world.engine(ledger=Ledger(tmp_path, clock=world.clock))
    await engine.optimize(ASK)
    engine.reject(engine.ledger.waiting()[0].id, who="bob", why="not here")
    assert engine.find_opportunities() == []
    later = World().engine(ledger=Ledger(tmp_path))
    assert later.find_opportunities() == [], "a restart does not forget"
    refused = next(entry for entry in later.ledger.entries() if entry.kind == "rejected")
    assert (await later.approve(refused.id, QUICK)).successful_steps == 1, "minds may change"


async def test_what_stopped_paying_is_withdrawn(world: World) -> None:
    engine = world.engine()
    await engine.optimize(QUICK)
    assert (await engine.recheck(QUICK)).successful_steps == 1
    assert world.controls.rules == {"a": 1.0}, "it still pays"
    world.hit_share = {}
    result = await engine.recheck(QUICK)
    assert world.controls.rules == {}
    assert result.steps[0].verdict == "rolled_back"
    assert engine.ledger.entries()[-1].kind == "withdrawn"
    assert engine.ledger.kept() == []


async def test_a_quiet_time_withdraws_nothing(world: World) -> None:
    engine = world.engine()
    await engine.optimize(QUICK)
    world.rate = 0
    await engine.recheck(QUICK)
    assert world.controls.rules == {"a": 1.0}
    assert len(engine.ledger.kept()) == 1


async def test_evidence_against_a_kept_change_withdraws_it_at_once(world: World) -> None:
    world.hit_share = {"cache_route:/items/*": 0.9}
    world.routes = [make_route()]
    engine = world.engine(CacheRouteOptimizer())
    await engine.optimize(QUICK)
    assert engine.withdraw() == []
    world.routes = [make_route(cookies_set=3)]
    [entry] = engine.withdraw()
    assert (entry.kind, entry.who) == ("withdrawn", "perfmw")
    assert "sets cookies" in entry.why
    assert world.controls.rules == {}


async def test_what_builds_upon_a_change_goes_with_it(world: World) -> None:
    one = make_opportunity("a", parameters={"rule_id": "r"})
    two = make_opportunity("b", parameters={"rule_id": "r"}, saved_seconds_per_day=1.0)
    world.hit_share = {"a": 0.6, "b": 0.95}
    engine = world.engine(FakeOptimizer([one, two]))
    await engine.optimize(OptimizationRequest(blocks=20, block_seconds=4.0))
    assert sorted(world.controls.rules) == ["a", "b"]
    engine.rollback(engine.ledger.kept()[0].id)
    assert world.controls.rules == {}
    assert world.controls.calls[-2:] == [("remove", "b"), ("remove", "a")]
    assert engine.ledger.kept() == []


async def test_profiles_tell_what_was_found_and_what_stands(world: World) -> None:
    world.hit_share = {"cache_route:/items/*": 0.9}
    world.routes = [make_route()]
    engine = world.engine(CacheRouteOptimizer())
    deque(engine.survey(), maxlen=0)
    found = engine.configured(world.profiles[ROUTE]).optimizations
    assert [item.type for item in found.identified] == ["cache_route"]
    assert found.recommendations[0].target == ROUTE
    await engine.optimize(QUICK)
    deque(engine.survey(), maxlen=0)
    found = engine.configured(world.profiles[ROUTE]).optimizations
    assert found.identified == []
    assert [item.step_id for item in found.applied] == [f"cache_route:{ROUTE}"]
    assert found.applied[0].result.improvement == pytest.approx(0.9, abs=0.05)


async def test_what_waits_for_somebody_is_told_once(world: World) -> None:
    world.routes = [make_route()]
    engine = world.engine(CacheRouteOptimizer())
    await engine.optimize(replace(QUICK, approval=True))
    [waits] = engine.ledger.waiting()
    deque(engine.survey(), maxlen=0)
    assert engine.surveyed.identified == [], "it is among what waits"
    engine.reject(waits.id)
    deque(engine.survey(), maxlen=0)
    assert engine.ledger.waiting() == []
    assert engine.surveyed.identified == []


async def test_a_change_that_can_not_be_toggled_is_measured_before_and_after(world: World) -> None:
    world.recorders["all"] = Recorder("all")
    engine = world.engine(FakeOptimizer([make_opportunity("a", toggles=False)]))
    world.recorders["GET /other"] = Recorder("GET /other")
    result = await engine.optimize(QUICK)
    assert result.steps[0].verdict in ("kept", "rolled_back", "not_enough_data")
    assert [call[0] for call in world.controls.calls].count("put") == 1, "it was switched on once"


def once(effect: float, drift: float, random: Random) -> list[Block]:
    """The second half is slower for all by ``drift``; the change makes its target faster by ``effect``."""
    blocks = []
    for on in plan_once(16):
        level = (1 + drift if on else 1) * random.uniform(0.97, 1.03)
        mean = 0.05 * level * (1 - effect if on else 1) * random.uniform(0.97, 1.03)
        blocks.append(Block(on, 100, mean, 0.02 * level))
    return blocks


def test_what_the_load_does_to_all_is_no_effect_of_the_change() -> None:
    random = Random(11)
    verdicts = [judge_once(once(0.0, drift, random)) for drift in (-0.4, 0.5) for _ in range(50)]
    assert {verdict.outcome for verdict in verdicts} == {"roll_back"}
    assert not any("got worse" in verdict.reason for verdict in verdicts)


def test_an_effect_is_found_in_spite_of_drift() -> None:
    verdict = judge_once(once(0.3, 0.5, Random(12)))
    assert verdict.outcome == "keep"
    assert verdict.improvement == pytest.approx(0.3, abs=0.03)


def test_without_a_control_nothing_is_claimed() -> None:
    blocks = [Block(on, 100, 0.01 if on else 0.05) for on in plan_once(16)]
    assert judge_once(blocks).outcome == "not_enough_data"
