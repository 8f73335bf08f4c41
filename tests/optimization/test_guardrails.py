from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.optimization.guardrails import BLOCK, Guardrails, Limits, RateGuard, Usual, Window
from tests.optimization.load import Load, faster, slower, slower_tail, trial, unchanged


def rails(*windows: Window, before: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Guardrails:
    found = Guardrails(before=before)
    for number, window in enumerate(windows):
        if number % BLOCK == 0:
            found.begin(window.on)
        found.see(window)
    return found


def test_a_slower_tail_is_reverted_within_two_blocks() -> None:
    random = Random(5)
    for effect in (slower(1.5), slower_tail(1.5)):
        runs = [trial(Load(random, rate=250), effect, 16, seed) for seed in range(25)]
        assert all(run.stopped and " rose: " in run.verdict.reason for run in runs)
        assert sum(run.on_blocks <= 2 for run in runs) >= 24


@pytest.mark.parametrize(("rate", "wander"), [(20, 0.06), (60, 0.06), (250, 0.12)])
def test_what_changes_nothing_is_not_stopped(rate: float, wander: float) -> None:
    random = Random(6)
    runs = [trial(Load(random, rate, wander), unchanged, 16, seed) for seed in range(40)]
    assert not any(run.stopped for run in runs)


def test_one_pause_of_the_process_is_no_harm() -> None:
    quiet = [Window(False, 100, timed=100)] * 4
    pause = Window(True, 100, slow=30, late=30, far=30, timed=100)
    calm = Window(True, 100, timed=100)
    assert rails(*quiet, calm, pause, calm, before=(2_000, 20, 100, 30)).alarm() is None
    assert rails(*quiet, pause, pause, pause, before=(2_000, 20, 100, 30)).alarm()


def test_a_pause_of_several_small_windows_is_no_harm_either() -> None:
    quiet, calm = [Window(False, 5, timed=5)] * 16, [Window(True, 5, timed=5)] * 8
    pause = [Window(True, 5, slow=4, late=5, far=5, timed=5)] * 4
    before = (2_000, 20, 100, 30)
    assert rails(*quiet, *calm, *pause, *calm, before=before).alarm() is None
    assert rails(*quiet, *calm, *pause, *calm, *pause, before=before).alarm()  # it came again


def test_a_level_that_rose_is_watched_longer_before_it_is_harm() -> None:
    quiet = [Window(False, 200, slow=2, late=10, far=2, timed=200)] * 8
    higher = [Window(True, 200, slow=9, late=40, far=2, timed=200)]
    assert rails(*quiet, *(higher * 4)).alarm() is None, "it may be load: the tail is as far off as before"
    assert "rose" in (rails(*quiet, *(higher * 8)).alarm() or "")


def test_a_block_that_can_not_tell_harm_from_load_asks_for_more() -> None:
    quiet = [Window(False, 100, slow=1, late=5, far=2, timed=100)] * 4
    same = [Window(True, 100, slow=1, late=5, far=2, timed=100)] * 4
    perhaps = [Window(True, 100, slow=2, late=8, far=4, timed=100)] * 4
    past = (2_000, 20, 100, 30)
    assert rails(*quiet, *perhaps, before=past).undecided()
    assert rails(*quiet, *perhaps, before=past).alarm() is None
    assert not rails(*quiet, *(same * 24), before=past).undecided(), "it does no harm"
    assert not rails(*perhaps, before=past).undecided(), "waiting shows nothing: there is nothing beside it"


def test_a_level_that_fell_without_the_change_is_no_shelter_for_a_tail() -> None:
    usual = Usual(0.1, 0.08, 0.09, 0.04)
    assert usual.limits(True, 100, 0.02)[2] == pytest.approx(0.09), "a change that makes requests faster"
    for _ in range(50):
        usual.limits(False, 100, 0.03)
    assert usual.limits(True, 100, 0.03)[2] == pytest.approx(0.0675, rel=0.01), "load that eased"
    assert usual.limits(True, 5, 0.0)[2] == pytest.approx(0.0675, rel=0.01), "too few for a median"
    assert usual.limits(True, 100, 1.0)[2] == pytest.approx(0.135), "a level that rose is for other guards"


def test_a_fifth_faster_is_found_in_the_same_traffic() -> None:
    random = Random(7)
    runs = [trial(Load(random, rate=60), faster(0.2), 16, seed) for seed in range(25)]
    assert sum(run.verdict.outcome == "keep" for run in runs) >= 20


@pytest.mark.parametrize("without", [400, 20])
def test_what_goes_on_without_the_change_was_not_the_change(without: int) -> None:
    guards, said = Guardrails(), list[str | None]()
    for on, errors in ((False, 20), (True, 400), (False, without)):
        guards.begin(on)
        for _ in range(4):
            guards.see(Window(on, 1_000, errors=errors))
        said += [guards.alarm()] if len(said) < 2 else []
    assert said[0] is None
    assert "errors rose" in (said[1] or "")
    assert guards.was_load() is (without == 400)
    if guards.was_load():
        guards.forget()
    assert (guards.alarm() is None) is (without == 400)


def test_errors_stop_it_at_once() -> None:
    healthy = Window(False, 500, errors=1)
    assert rails(healthy, Window(True, 500, errors=2)).alarm() is None
    assert "errors rose to 10.0%" in (rails(healthy, Window(True, 500, errors=50)).alarm() or "")


def test_errors_are_noticed_among_very_many_requests() -> None:
    assert rails(Window(False, 1_000_000, errors=10_000), Window(True, 1_000_000, errors=30_000)).alarm()


def test_errors_that_were_there_before_stop_nothing() -> None:
    assert rails(Window(False, 500, errors=100), Window(True, 500, errors=105)).alarm() is None


def test_stale_answers_stop_it_beyond_a_share() -> None:
    off = Window(False, 500)
    assert rails(off, Window(True, 500, stale=20)).alarm() is None
    assert "stale answers rose to 40.0%" in (rails(off, Window(True, 500, stale=200)).alarm() or "")


def test_memory_that_grows_stops_it() -> None:
    mebi = 2**20
    off = Window(False, 10, memory=200 * mebi)
    grown = [Window(True, 10, memory=size * mebi) for size in (290, 300, 310)]
    assert rails(off, *grown[:2]).alarm() is None, "a peak is no growth"
    assert rails(off, *grown).alarm() == "memory rose to 290 MiB from 200 MiB"
    assert rails(*grown).alarm() is None, "nothing to compare with"


def test_what_each_side_held_is_told() -> None:
    seen = rails(Window(False, 10, memory=200), *(Window(True, 10, memory=held) for held in (300, 900, 310)))
    assert (seen.memory(False), seen.memory(True)) == (200, 310)
    assert rails(Window(True, 10)).memory(True) is None


def test_nothing_is_said_before_the_other_side_was_seen() -> None:
    assert rails(Window(True, 1_000, slow=500, timed=1_000), before=(10_000, 100, 500, 150)).alarm() is None


def test_the_past_is_evidence_but_not_without_bound() -> None:
    guard = Guardrails(before=(1_000_000, 10_000, 50_000, 15_000)).slow
    assert guard.before == pytest.approx((Limits().past, 0.01 * Limits().past))


@pytest.mark.parametrize("rate", [0.002, 0.02, 0.2])
def test_looking_often_costs_nothing(rate: float) -> None:
    """The share of harmless changes ever stopped stays below alpha, though asked after every window."""
    random, alarms, alpha = Random(8), 0, 0.05
    for _ in range(300):
        guard = RateGuard(ratio=1.0)
        for _ in range(40):
            for on in (False, True):
                guard.see(on, 50, sum(random.random() < rate for _ in range(50)))
            if guard.evidence() >= -math.log(alpha):
                alarms += 1
                break
    assert alarms / 300 <= alpha


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10_000), st.integers(0, 10_000)), max_size=20))
def test_evidence_is_a_number_whatever_is_seen(seen: list[tuple[bool, int, int]]) -> None:
    guard = RateGuard(ratio=1.3, margin=0.01)
    for on, requests, events in seen:
        guard.see(on, requests, events)
    assert math.isfinite(guard.evidence())
    assert guard.dispersion() >= 1.0


def test_clumps_weaken_the_evidence() -> None:
    even, clumped = RateGuard(), RateGuard()
    for place in range(8):
        even.see(False, 100, 2)
        even.see(True, 100, 8)
        clumped.see(False, 100, 16 * (place == 3))
        clumped.see(True, 100, 64 * (place == 5))
    assert even.totals(True) == clumped.totals(True)
    assert clumped.evidence() < 0.2 * even.evidence()
