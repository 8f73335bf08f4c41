from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from perfmw.contracts import (
    Alert,
    AppliedOptimization,
    OptimizationRequest,
    OptimizationResult,
    PerformanceProfileConfig,
    PerformanceTargets,
)
from perfmw.optimization import CacheRouteOptimizer, EngineBusyError, Ledger
from perfmw.profiles.recorder import Recorder
from tests.optimization.world import ROUTE, FakeOptimizer, World, make_opportunity, make_profile, make_route

pytestmark = pytest.mark.anyio
QUICK = OptimizationRequest(blocks=8, block_seconds=2.0)


def kinds(ledger: Ledger) -> list[str]:
    return [entry.kind for entry in ledger.entries()]


async def test_a_change_that_helps_is_kept(world: World) -> None:
    engine = world.engine()
    result = await engine.optimize_performance(f"id:{ROUTE}", QUICK)
    assert world.controls.rules == {"a": 1.0}
    assert (result.steps_executed, result.successful_steps) == (1, 1)
    step = result.steps[0]
    assert step.verdict == "kept"
    assert step.success
    assert step.improvement == pytest.approx(0.8, abs=0.05)
    assert step.interval is not None
    assert step.interval[0] < 0.8 < step.interval[1]
    assert step.before is not None
    assert step.after is not None
    assert step.before.hit_rate == 0
    assert step.after.hit_rate == pytest.approx(0.8, abs=0.1)
    assert step.after.origin_calls < 0.4 * step.before.origin_calls
    assert step.after.p50 < 0.001 < step.before.p50 < step.before.p95 < step.before.p99
    assert (step.before.stale_rate, step.after.stale_rate) == (0.0, pytest.approx(0.016, abs=0.005))
    assert step.before.memory == step.after.memory == 80 * 2**20
    assert result.performance_improvement == pytest.approx(step.improvement)
    assert result.optimization_duration == pytest.approx(8 * 2.0)
    assert result.new_performance_score == 60.0
    assert [item.target for item in result.applied_optimizations] == [ROUTE]
    assert kinds(engine.ledger) == ["proposed", "applied", "measured", "kept"]
    assert engine.find_opportunities() == [], "what stands is not proposed again"


@pytest.mark.parametrize("lasting", [True, False])
async def test_a_gain_that_is_not_sure_gets_more_blocks(world: World, lasting: bool) -> None:
    """Half as many again: a gain that was there is kept then, luck is not."""
    world.hit_share, world.noise, began = {"a": 0.2}, 0.15, world.now

    def luck_turns() -> None:
        if world.now - began >= 16.0 and not lasting:
            world.hit_share = {}

    world.on_sleep = luck_turns
    result = await world.engine().optimize(QUICK)
    assert result.optimization_duration >= (8 + 6) * 2.0, "six blocks more are the fewest"
    assert result.steps[0].verdict == ("kept" if lasting else "rolled_back")
    assert world.controls.rules == ({"a": 1.0} if lasting else {})


async def test_a_change_without_effect_is_rolled_back(world: World) -> None:
    world.hit_share = {}
    engine = world.engine()
    result = await engine.optimize(QUICK)
    assert world.controls.rules == {}
    assert result.steps[0].verdict == "rolled_back"
    assert result.successful_steps == 0
    assert result.performance_improvement == 0.0
    assert result.applied_optimizations == []
    assert kinds(engine.ledger)[-1] == "rolled_back"
    assert engine.ledger.kept() == []


async def test_without_traffic_nothing_is_claimed(world: World) -> None:
    world.rate = 0
    result = await world.engine().optimize(QUICK)
    assert result.steps[0].verdict == "not_enough_data"
    assert result.performance_improvement is None
    assert world.controls.rules == {}


async def test_a_change_that_breaks_requests_is_stopped_early(world: World) -> None:
    world.hit_share, world.failing = {}, {"a": 0.5}
    result = await world.engine().optimize(OptimizationRequest(blocks=20, block_seconds=10.0))
    assert result.steps[0].verdict == "rolled_back"
    assert "errors rose" in result.steps[0].reason
    assert result.optimization_duration < 60, "of 200 seconds"
    assert world.controls.rules == {}


@pytest.mark.parametrize("times", [1.0, 1.6])
async def test_what_is_faster_on_the_whole_is_not_kept_if_the_slowest_take_longer(
    world: World, times: float
) -> None:
    """Guardrails count slow requests: where the same ones are only slower, they see nothing."""
    world.hit_share, world.slowing, world.stretching = {}, {"a": 0.8}, {"a": times / 0.8}
    world.rate = 60.0
    result = await world.engine().optimize(OptimizationRequest(blocks=12, block_seconds=10.0))
    step = result.steps[0]
    assert step.verdict == ("kept" if times == 1.0 else "rolled_back")
    assert ("the slowest 0.5% take" in step.reason) is (times > 1.0)


@pytest.mark.parametrize(
    ("slower", "fewer_hits", "said"),
    [(1.0, 0.0, "not slower"), (1.4, 0.0, ""), (1.0, 0.03, "of the requests hit, and")],
)
async def test_what_spares_memory_is_kept_unless_it_is_slower_or_costs_hits(
    world: World, slower: float, fewer_hits: float, said: str
) -> None:
    world.rate, world.slowing, world.hit_share = 400.0, {"a": slower}, {"b": 0.1}
    world.controls.rules["b"] = 1.0

    def cost_hits() -> None:
        world.hit_share["b"] = 0.1 - (fewer_hits if "a" in world.controls.rules else 0.0)

    world.on_sleep = cost_hits
    optimizer = FakeOptimizer([make_opportunity(spares="12 MiB of memory")])
    result = await world.engine(optimizer).optimize(OptimizationRequest(blocks=12, block_seconds=10.0))
    step = result.steps[0]
    assert step.verdict == ("kept" if said == "not slower" else "rolled_back")
    assert said in step.reason


@pytest.mark.parametrize("passes", [True, False])
async def test_load_that_comes_with_the_change_is_not_blamed_on_it(world: World, passes: bool) -> None:
    """An alarm stops the trial if a block without the change is well, and not if it is as bad."""
    world.hit_share, world.rate, slow = {}, 200.0, list[float]()

    def load_comes() -> None:
        if world.controls.rules and not slow:
            slow.append(world.now)
        busy = bool(slow) and world.now - slow[0] < 25.0
        world.level = 3.0 if busy and (world.controls.rules or passes) else 1.0

    world.on_sleep = load_comes
    await world.sleep(20.0)
    result = await world.engine().optimize(OptimizationRequest(blocks=8, block_seconds=10.0))
    step = result.steps[0]
    assert ("stopped" in step.reason) is not passes
    assert world.controls.rules == {}
    assert step.before is not None
    assert step.after is not None
    assert (step.after.p95 < step.before.p95) is passes, "a block that load spoilt counts for nothing"


async def test_a_failing_step_does_not_stop_the_rest(world: World) -> None:
    broken = FakeOptimizer([make_opportunity("b", optimizer="broken")], name="broken", fail_apply=True)
    engine = world.engine(broken, FakeOptimizer([make_opportunity("a", saved_seconds_per_day=1.0)]))
    result = await engine.optimize(QUICK)
    assert [(step.step_id, step.verdict) for step in result.steps] == [("b", "failed"), ("a", "kept")]
    assert "apply is broken" in (result.steps[0].error or "")
    assert world.controls.rules == {"a": 1.0}, "the half-applied change is reverted"


async def test_a_failing_critical_step_ends_the_run(world: World) -> None:
    critical = make_opportunity("b", optimizer="broken", critical=True)
    broken = FakeOptimizer([critical], name="broken", fail_apply=True)
    engine = world.engine(broken, FakeOptimizer([make_opportunity("a", saved_seconds_per_day=1.0)]))
    result = await engine.optimize(QUICK)
    assert [step.step_id for step in result.steps] == ["b"]


async def test_an_optimizer_that_raises_is_left_out(world: World) -> None:
    engine = world.engine(FakeOptimizer(name="broken", fail_propose=True), FakeOptimizer())
    assert [item.id for item in engine.find_opportunities()] == ["a"]


async def test_the_request_chooses_the_steps(world: World) -> None:
    offered = [
        make_opportunity("small", saved_seconds_per_day=1.0),
        make_opportunity("big", saved_seconds_per_day=9.0),
        make_opportunity("bold", saved_seconds_per_day=99.0, level="aggressive"),
        make_opportunity("other", type="other", saved_seconds_per_day=50.0),
    ]
    engine = world.engine(FakeOptimizer(offered))
    request = OptimizationRequest(types=("fake",), max_steps=2, dry_run=True)
    result = await engine.optimize(request)
    assert [(step.step_id, step.verdict) for step in result.steps] == [
        ("big", "skipped"),
        ("small", "skipped"),
    ]
    assert result.steps_executed == 0
    assert result.performance_improvement is None
    assert world.controls.calls == [], "a dry run changes nothing"


async def test_one_profile_is_left_alone_by_the_other(world: World) -> None:
    world.profiles["GET /other"] = make_profile("GET /other")
    result = await world.engine().optimize_performance("GET /other", QUICK)
    assert result.steps == []
    assert result.profile_id == "id:GET /other"


async def test_cancelling_reverts_and_tells(world: World) -> None:
    engine = world.engine()
    world.on_sleep = lambda: engine.cancel() if world.controls.rules else None
    result = await engine.optimize(QUICK)
    assert world.controls.rules == {}
    assert [(step.verdict, step.reason) for step in result.steps] == [("rolled_back", "cancelled")]
    assert engine.state()["status"] == "idle"
    assert kinds(engine.ledger)[-1] == "rolled_back"
    assert not engine.cancel(), "nothing is left to cancel"
    world.on_sleep = lambda: None
    assert (await engine.optimize(QUICK)).successful_steps == 1, "the engine is usable again"


async def test_changes_of_two_routes_are_on_trial_at_once(world: World) -> None:
    world.recorders["GET /other"] = Recorder("GET /other")
    world.profiles["GET /other"] = make_profile("GET /other")
    world.hit_share = {"a": 0.8, "b": 0.8}
    world.concerns = {"a": ROUTE, "b": "GET /other"}
    both = FakeOptimizer([make_opportunity(), make_opportunity("b", target="GET /other")])
    engine = world.engine(both)
    result = await engine.optimize(replace(QUICK, at_once=2))
    assert result.successful_steps == 2
    assert set(world.controls.rules) == {"a", "b"}
    trying = [state["trying"] for name, state in world.events if name == "state" and state.get("trying")]
    assert all([one["id"] for one in both] == ["a", "b"] for both in trying)
    applied = [entry.opportunity.id for entry in engine.ledger.entries() if entry.kind in ("applied", "kept")]
    assert applied[:2] == ["a", "b"], "neither waits for the other's verdict"


async def test_cancelling_undoes_all_that_is_on_trial(world: World) -> None:
    world.recorders["GET /other"] = Recorder("GET /other")
    both = FakeOptimizer([make_opportunity(), make_opportunity("b", target="GET /other")])
    engine = world.engine(both)
    world.on_sleep = lambda: engine.cancel() if len(world.controls.rules) == 2 else None
    result = await engine.optimize(replace(QUICK, at_once=2))
    assert world.controls.rules == {}
    assert [step.verdict for step in result.steps] == ["rolled_back", "rolled_back"]


async def test_cancelling_too_late_harms_nobody(world: World) -> None:
    engine = world.engine()

    class Late(list[Any]):
        def append(self, event: tuple[str, Any]) -> None:
            if event[0] == "applied":
                engine.cancel()

    world.events = Late()
    result = await engine.optimize(QUICK)
    await asyncio.sleep(0)
    assert result.successful_steps == 1
    assert world.controls.rules == {"a": 1.0}


async def test_what_is_rolled_back_while_on_trial_is_not_kept(world: World) -> None:
    engine = world.engine()

    def roll_back() -> None:
        if world.controls.rules:
            engine.rollback(engine.ledger.entries()[0].id)

    world.on_sleep = roll_back
    result = await engine.optimize(QUICK)
    assert result.steps[0].verdict == "rolled_back"
    assert world.controls.rules == {}
    assert engine.ledger.kept() == []


async def test_a_process_that_stops_takes_the_change_with_it(world: World) -> None:
    engine = world.engine()
    task = asyncio.create_task(engine.optimize(QUICK))
    world.on_sleep = lambda: task.cancel() if world.controls.rules else None
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.controls.rules == {}
    assert engine.state()["status"] == "idle"
    assert engine.ledger.kept() == []


async def test_only_one_run_at_a_time(world: World) -> None:
    engine = world.engine()
    task = asyncio.create_task(engine.optimize(QUICK))
    await asyncio.sleep(0)
    with pytest.raises(EngineBusyError):
        await engine.optimize(QUICK)
    assert (await task).successful_steps == 1


async def test_the_state_can_be_followed(world: World) -> None:
    engine = world.engine()
    await engine.optimize(QUICK)
    states = [detail for name, detail in world.events if name == "state"]
    json.dumps(states)
    blocks = [state["blocks_done"] for state in states if state["status"] == "running" and state["blocks"]]
    assert blocks == list(range(9))
    assert states[-1]["status"] == "idle"
    assert states[-1]["last"]["steps"][0]["verdict"] == "kept"
    applied = [detail for name, detail in world.events if name == "applied"]
    assert isinstance(applied[0], AppliedOptimization)
    assert isinstance(dict(world.events)["finished"], OptimizationResult)


async def test_a_listener_that_raises_changes_nothing(world: World) -> None:
    class Deaf(list[Any]):
        def append(self, _item: Any) -> None:
            raise RuntimeError("not listening")

    world.events = Deaf()
    assert (await world.engine().optimize(QUICK)).successful_steps == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"level": "reckless"},
        {"max_steps": 0},
        {"blocks": 0},
        {"block_seconds": 0.0},
        {"block_seconds": float("nan")},
    ],
)
async def test_a_bad_request_is_refused(world: World, bad: dict[str, Any]) -> None:
    engine = world.engine()
    with pytest.raises(ValueError, match=next(iter(bad))):
        await engine.optimize(OptimizationRequest(**bad))
    assert engine.state()["status"] == "idle"


async def test_an_unknown_profile_is_refused(world: World) -> None:
    with pytest.raises(KeyError, match="no profile"):
        await world.engine().optimize_performance("nobody")


async def test_what_was_kept_can_be_rolled_back(world: World) -> None:
    engine = world.engine()
    await engine.optimize(QUICK)
    kept = engine.ledger.kept()[0]
    entry = engine.rollback(kept.id, who="ann", why="not convinced")
    assert (entry.kind, entry.who, entry.why) == ("reverted", "ann", "not convinced")
    assert world.controls.rules == {}
    assert engine.ledger.kept() == []
    with pytest.raises(KeyError):
        engine.rollback(10_000)


async def test_what_was_kept_is_applied_again_after_a_restart(world: World, tmp_path: Any) -> None:
    await world.engine(ledger=Ledger(tmp_path, clock=world.clock)).optimize(QUICK)
    later = World()
    engine = later.engine(ledger=Ledger(tmp_path, clock=later.clock))
    assert [item.id for item in engine.restore()] == ["a"]
    assert later.controls.rules == {"a": 1.0}
    assert engine.revert_all(why="kill switch") == 1
    assert later.controls.rules == {}
    assert World().engine(ledger=Ledger(tmp_path)).restore() == []


async def test_what_can_not_be_applied_again_lapses(world: World, tmp_path: Any) -> None:
    await world.engine(ledger=Ledger(tmp_path)).optimize(QUICK)
    engine = World().engine(FakeOptimizer([], name="another"), ledger=Ledger(tmp_path))
    assert engine.restore() == []
    assert kinds(engine.ledger)[-1] == "lapsed"
    assert engine.ledger.kept() == []


async def test_a_change_that_the_trial_brought_evidence_against_is_not_kept(world: World) -> None:
    world.hit_share = {"cache_route:/items/*": 0.9}
    world.routes = [make_route()]

    def body_changes() -> None:
        world.routes = [make_route(equal_repeats=200)]

    world.on_sleep = body_changes
    result = await world.engine(CacheRouteOptimizer()).optimize(QUICK)
    assert result.steps[0].verdict == "rolled_back"
    assert "changes too often" in result.steps[0].reason
    assert world.controls.rules == {}


async def test_the_cache_route_end_to_end(world: World) -> None:
    world.hit_share = {"cache_route:/items/*": 0.9}
    world.routes = [make_route()]
    engine = world.engine(CacheRouteOptimizer())
    result = await engine.optimize(QUICK)
    assert world.controls.rules == {"cache_route:/items/*": 12.0}
    assert result.applied_optimizations[0].parameters["path"] == "/items/*"
    assert result.performance_improvement == pytest.approx(0.9, abs=0.05)
    assert engine.recommendations(ROUTE)[0].snippet.startswith("response.headers")


def test_a_profile_is_made_with_what_was_chosen(world: World) -> None:
    engine = world.engine()
    config = PerformanceProfileConfig(targets=PerformanceTargets(0.01, 5.0), monitoring_frequency=5.0)
    made = engine.create_performance_profile("GET /new", "component", config)
    assert world.ensured == [("GET /new", "component")]
    assert made.name == "GET /new"
    assert made.performance.targets == PerformanceTargets(0.01, 5.0)
    assert made.monitoring.frequency == 5.0
    assert world.profiles["GET /new"].performance.targets is None, "the store's own is left as it was"
    assert engine.configured(world.profiles[ROUTE]) is world.profiles[ROUTE]


async def test_a_session_is_whole_when_it_returns(world: World) -> None:
    engine = world.engine()
    engine.create_performance_profile(ROUTE, "component", PerformanceProfileConfig(monitoring_frequency=4.0))
    alerts = [
        [Alert("k", "anomaly", "low", "odd", ROUTE, 0.0)],
        [Alert("l", "errors", "high", "bad", ROUTE, 0.0)],
        [],
    ]
    world.raised = lambda _profile, _now: alerts.pop(0)
    began = world.now
    result = await engine.monitor_performance(ROUTE, 10.0)
    assert world.now - began == pytest.approx(10.0)
    assert result.duration == pytest.approx(10.0)
    assert result.profile_id == f"id:{ROUTE}"
    assert (result.metrics_collected, result.alerts_triggered, result.anomalies_detected) == (3, 2, 1)
    assert result.average_performance_score == 60.0


@pytest.mark.parametrize("duration", [0.0, -1.0, float("inf"), float("nan")])
async def test_a_session_needs_a_real_duration(world: World, duration: float) -> None:
    with pytest.raises(ValueError, match="duration"):
        await world.engine().monitor_performance(ROUTE, duration)


async def test_a_block_waits_for_its_requests_but_not_for_ever(world: World) -> None:
    engine = world.engine()
    result = await engine.optimize(replace(QUICK, block_requests=90))  # 40 a second
    assert result.optimization_duration == pytest.approx(8 * (0.5 + 6 * 0.375))
    world.rate = 1.0
    result = await engine.recheck(replace(QUICK, block_requests=90))
    assert result.optimization_duration == pytest.approx(8 * (0.5 + 16 * 0.375)), "four times as long at most"
    with pytest.raises(ValueError, match="block_requests"):
        await engine.optimize(replace(QUICK, block_requests=-1))
