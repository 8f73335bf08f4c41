from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmw.profiles.packing import pack, unpack
from perfmw.profiles.reading import Reading
from perfmw.profiles.recorder import Recorder
from perfmw.profiles.tally import tally_of
from perfmw.profiles.windows import LEVELS, Windows


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
