from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmw.profiles.packing import pack, unpack
from perfmw.profiles.reading import Reading
from perfmw.profiles.recorder import Recorder
from perfmw.profiles.tally import tally_of
from perfmw.profiles.windows import COARSE, LEVELS, Windows


def one(seconds: float = 0.1) -> Reading:
    recorder = Recorder("GET /a")
    recorder.origin(seconds, 200, "uri-miss")
    return recorder.reading()


def step(windows: Windows, delta: Reading | None, start: float, now: float) -> None:
    if delta is not None:
        windows.add(delta, tally_of(delta, 0.5), start)
    windows.close(now)


def run(windows: Windows, start: int, end: int) -> None:
    """One request a second."""
    for now in range(start, end):
        step(windows, one(), now, now + 1)


@pytest.mark.parametrize("window", [60, 300, 3600])
def test_a_window_holds_its_own_stretch(window: int) -> None:
    windows = Windows(0)
    run(windows, 0, 2 * window)
    slot = next(length for length, slots in LEVELS if length * slots >= window)
    assert window <= windows.view(window, 2 * window).count <= window + 2 * slot


def test_a_day_ends_after_a_day() -> None:
    windows = Windows(0)
    for minute in range(0, 3 * 86_400, 60):
        step(windows, one(), minute, minute + 60)
    assert windows.view(86_400, 3 * 86_400).count == pytest.approx(1440, abs=61)


def test_old_requests_leave_the_short_window_and_stay_in_the_long_one() -> None:
    windows = Windows(0)
    run(windows, 0, 100)
    for now in range(100, 300):
        step(windows, None, now, now + 1)
    assert windows.view(60, 300).count == 0
    assert windows.view(3600, 300).count == 100


def test_what_is_not_yet_in_a_slot_counts() -> None:
    windows = Windows(0)
    step(windows, one(), 0, 1)
    assert windows.view(60, 1).count == 1
    assert windows.view(86_400, 1).count == 1


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400)), max_size=60))
def test_nothing_is_lost_or_counted_twice_within_a_day(steps: list[tuple[int, int]]) -> None:
    windows, now, total = Windows(0), 0, 0
    for requests, seconds in steps:
        delta = Reading() if requests else None
        for _ in range(requests):
            delta = delta + one() if delta else one()
        step(windows, delta, now, now + seconds)
        now += seconds
        total += requests
    assert windows.view(86_400, now).count == total
    assert windows.tally(86_400, now).count == total


def test_slots_are_bounded() -> None:
    windows = Windows(0)
    run(windows, 0, 2000)
    assert len(windows.slots()) == LEVELS[0][1]


def test_a_packed_reading_is_the_same() -> None:
    recorder = Recorder("GET /a")
    recorder.hit(0.0)
    recorder.hit(1e-4)
    recorder.origin(0.1, 404, "uri-miss")
    recorder.exception(0.2, "stale")
    for reading in (recorder.reading(), Reading()):
        assert unpack(pack(reading)) == reading


def test_the_windows_do_not_share_readings_with_the_caller() -> None:
    windows, delta = Windows(0), one()
    step(windows, delta, 0, 1)
    step(windows, one(), 1, 2)
    assert delta.count == 1


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400), st.booleans()), max_size=60))
def test_windows_that_are_kept_and_taken_up_go_on(steps: list[tuple[int, int, bool]]) -> None:
    """Restarts at any moment, each right after a tick, leave the windows as they would have been."""
    kept, plain, now = Windows(0), Windows(0), 0
    for requests, seconds, restarted in steps:
        delta = Reading() if requests else None
        for _ in range(requests):
            delta = delta + one() if delta else one()
        for windows in (kept, plain):
            step(windows, delta, now, now + seconds)
        now += seconds
        if restarted:
            fresh = Windows(now)
            assert fresh.restore(kept.state(), now, now)
            kept = fresh
    for span in (60.0, 300.0, 3600.0, 86_400.0):
        assert kept.view(span, now) == plain.view(span, now)
        assert kept.tally(span, now).count == plain.tally(span, now).count


@pytest.mark.parametrize(
    ("away", "expected"),
    [(2, (60, 100, 160)), (200, (0, 100, 160)), (3500, (0, 0, 100)), (90_000, (0, 0, 0))],
)
def test_what_was_kept_ages_while_nobody_is_there(away: int, expected: tuple[int, ...]) -> None:
    windows = Windows(0)
    run(windows, 0, 60)
    for now in range(60, 300):
        step(windows, None, now, now + 1)
    run(windows, 300, 400)
    later = Windows(400 + away)
    assert later.restore(windows.state(), 400 + away, 400)
    later.close(400 + away)
    counts = [later.tally(seconds, 400 + away).count for seconds in (60.0, 300.0, 3600.0)]
    assert counts == pytest.approx(expected, abs=10)


def test_a_kept_window_goes_before_what_was_counted_since_the_start() -> None:
    windows = Windows(0)
    run(windows, 0, 30)
    later = Windows(40)
    step(later, one(), 40, 41)
    assert later.restore(windows.state(), 41, 30)
    assert later.tally(60.0, 41).count == 31


def test_windows_of_another_shape_are_left_alone() -> None:
    windows, coarse = Windows(0), Windows(0, COARSE)
    run(windows, 0, 30)
    assert not coarse.restore(windows.state(), 30, 30)
    assert coarse.tally(60.0, 30).count == 0


def test_a_course_is_made_of_slots_that_reach_back_far_enough() -> None:
    windows = Windows(0)
    run(windows, 0, 1000)
    for seconds, length in ((60.0, 5.0), (300.0, 60.0), (3600.0, 300.0)):
        course = windows.course(seconds, 1000.0)
        assert sum(slot.tally.count for slot in course) == pytest.approx(min(seconds, 1000), abs=length)
        assert course[0].end - course[0].start == pytest.approx(length, abs=5.0)
        assert [slot.start for slot in course] == sorted(slot.start for slot in course)
