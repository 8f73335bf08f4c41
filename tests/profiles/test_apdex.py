from __future__ import annotations

import pytest

from perfmw.profiles.apdex import apdex
from perfmw.profiles.reading import Reading
from perfmw.profiles.recorder import Recorder


def test_the_example_of_the_specification() -> None:
    recorder = Recorder("GET /a")
    for seconds, count in ((0.1, 60), (1.0, 30), (9.0, 10)):
        for _ in range(count):
            recorder.origin(seconds, 200, "uri-miss")
    found = apdex(recorder.reading(), 0.5)
    assert (found.satisfied, found.tolerating, found.frustrated) == (60, 30, 10)
    assert found.value == pytest.approx(0.75)


def test_hits_satisfy_and_failures_frustrate() -> None:
    recorder = Recorder("GET /a")
    recorder.hit(0.001)
    recorder.origin(0.001, 500, "uri-miss")
    recorder.exception(0.001, "uri-miss")
    recorder.origin(0.001, 404, "uri-miss")
    found = apdex(recorder.reading(), 0.5)
    assert (found.satisfied, found.tolerating, found.frustrated) == (2, 0, 2)


def test_without_requests_there_is_no_apdex() -> None:
    assert apdex(Reading(), 0.5).value is None
