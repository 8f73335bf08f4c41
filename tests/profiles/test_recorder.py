from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from perfmw.profiles.reading import Reading
from perfmw.profiles.recorder import MAX_OUTCOMES, Recorder


def test_hits_and_origin_are_kept_apart() -> None:
    recorder = Recorder("GET /a")
    recorder.hit(0.001)
    recorder.hit(0.001)
    recorder.origin(0.1, 200, "uri-miss")
    reading = recorder.reading()
    assert (reading.count, reading.hits, reading.origin_calls, reading.errors) == (3, 2, 1, 0)
    assert reading.hit_rate == pytest.approx(2 / 3)
    assert reading.seconds == pytest.approx(0.102)
    assert reading.hit_sketch.max == 0.001
    assert reading.origin_sketch.min == 0.1
    assert reading.sketch.count == 3


def test_outcomes_are_counted() -> None:
    recorder = Recorder("GET /a")
    recorder.origin(0.1, 200, "uri-miss")
    recorder.origin(0.1, 200, "stale")
    recorder.origin(0.2, 404, "bypass")
    recorder.origin(0.3, 503, "bypass")
    recorder.exception(0.4, "bypass")
    reading = recorder.reading()
    assert reading.statuses == {200: 2, 404: 1, 503: 1}
    assert reading.reasons == {"uri-miss": 1, "stale": 1, "bypass": 3}
    assert (reading.errors, reading.exceptions, reading.client_errors) == (2, 1, 1)
    assert reading.error_rate == pytest.approx(2 / 5)
    assert reading.failed_sketch.sum == pytest.approx(0.7)


def test_what_has_no_status_has_no_status() -> None:
    recorder = Recorder("SELECT", "query")
    recorder.done(0.1)
    reading = recorder.reading()
    assert (reading.count, reading.errors, reading.statuses, reading.reasons) == (1, 0, {}, {})


def test_a_block_is_the_difference_of_two_readings() -> None:
    recorder = Recorder("GET /a")
    for _ in range(10):
        recorder.origin(0.1, 200, "uri-miss")
    start = recorder.reading()
    recorder.hit(0.01)
    recorder.origin(0.3, 500, "stale")
    block = recorder.reading() - start
    assert (block.count, block.hits, block.errors) == (2, 1, 1)
    assert block.statuses == {500: 1}
    assert block.reasons == {"stale": 1}
    assert block.seconds == pytest.approx(0.31)
    assert block.sketch.quantile(1.0) == pytest.approx(0.3, rel=0.02)
    assert start.count == 10


def test_readings_add_up_and_stay_as_they_are() -> None:
    one, two = Recorder("a"), Recorder("b")
    one.hit(0.1)
    two.origin(0.2, 200, "uri-miss")
    left, right = one.reading(), two.reading()
    total = left + right
    assert (total.count, total.hits, total.statuses) == (2, 1, {200: 1})
    assert (left.count, right.count) == (1, 1)


def test_an_empty_reading_has_no_rate() -> None:
    reading = Reading()
    assert reading.hit_rate is None
    assert reading.error_rate == 0.0
    assert reading.mean == 0.0


def test_a_reading_does_not_change_afterwards() -> None:
    recorder = Recorder("GET /a")
    recorder.origin(0.1, 200, "uri-miss")
    reading = recorder.reading()
    recorder.origin(0.1, 200, "uri-miss")
    recorder.hit(0.1)
    assert reading.count == 1


def test_outcomes_are_bounded_and_still_counted() -> None:
    recorder = Recorder("GET /a")
    for number in range(500):
        recorder.origin(0.1, 200 + number % 400, f"reason-{number}")
    reading = recorder.reading()
    assert reading.count == 500
    assert len(reading.reasons) <= MAX_OUTCOMES + 1
    assert sum(reading.reasons.values()) == 500
    assert sum(reading.statuses.values()) == 500


@pytest.mark.parametrize("status", [None, "200", [], 99_999, -1])
def test_an_odd_status_never_raises(status: object) -> None:
    recorder = Recorder("GET /a")
    recorder.origin(0.1, status, "uri-miss")  # type: ignore[arg-type]
    recorder.origin(float("nan"), 200, "uri-miss")
    assert recorder.reading().count == 1


def test_activity_changes_with_every_request() -> None:
    recorder = Recorder("GET /a")
    seen = [recorder.activity()]
    recorder.hit(0.1)
    seen.append(recorder.activity())
    recorder.origin(0.0, 200, "x")
    seen.append(recorder.activity())
    recorder.exception(0.1, "x")
    seen.append(recorder.activity())
    assert len(set(seen)) == 4


def test_reading_while_another_thread_records() -> None:
    recorder = Recorder("GET /a")
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            recorder.origin(1.0001**number % 50, 200 + number % 20, "x")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        counts = [recorder.reading().count for _ in range(200)]
    finally:
        stop.set()
        thread.join()
    assert counts == sorted(counts)
    assert recorder.reading().count >= counts[-1]


def test_what_a_counter_counted_is_there_for_every_reader() -> None:
    waiting, direct = Recorder("GET /"), Recorder("GET /")
    count = waiting.counter(200, "no-store")
    for number in range(1, 2_500):
        count(number / 1e4)
        direct.origin(number / 1e4, 200, "no-store")
    assert waiting.count() == direct.count() == 2_499
    count(0.5)
    direct.origin(0.5, 200, "no-store")
    assert waiting.counts().reasons == {"no-store": 2_500}
    assert waiting.reading().seconds == pytest.approx(direct.reading().seconds)
    assert waiting.statuses()[0].sketch.buckets() == direct.statuses()[0].sketch.buckets()
    drained = waiting.drain()
    assert drained is not None
    assert drained.count == 2_500
    assert waiting.drain() is None
    count(0.1)
    assert waiting.count() == 2_501


def test_words_alone_are_those_of_the_counts() -> None:
    recorder, words = Recorder("GET /"), Counter({"hit": 10, "no-store": 1})
    for drained in (False, True):
        recorder.hit(0.001)
        recorder.origin(0.01, 200, "no-store")
        recorder.counter(200, "uri-miss")(0.01)
        recorder.exception(0.01, "uri-miss")
        recorder.done(0.01)
        if drained:
            recorder.drain()
    recorder.hit(0.001)
    recorder.count_words(words)
    assert recorder.counts().reasons == {"no-store": 2, "uri-miss": 4}
    assert words == {"hit": 13, "no-store": 3, "uri-miss": 4}
    recorder.drain()
    recorder.count_words(words)
    assert words == {"hit": 16, "no-store": 5, "uri-miss": 8}


def test_few_wait_to_be_counted_where_nobody_reads() -> None:
    recorder = Recorder("GET /")
    for _ in range(10_000):
        recorder.counter(200, "no-store")(0.001)
    assert recorder._waiting is not None
    assert max(map(len, recorder._waiting.values())) <= 1_000
    assert recorder.count() == 10_000


def test_outcomes_beyond_the_bound_are_counted_together() -> None:
    recorder = Recorder("GET /")
    for number in range(200):
        recorder.counter(200, f"reason-{number}")(0.001)
    assert recorder.count() == 200
    assert len(recorder._waiting or ()) <= MAX_OUTCOMES
    assert recorder.counts().reasons["other"] == 200 - MAX_OUTCOMES


def test_readers_in_several_threads_count_what_waits_once() -> None:
    recorder = Recorder("GET /")
    count = recorder.counter(200, "")
    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(recorder.count) for _ in range(200)]
        for _ in range(5_000):
            count(0.001)
        assert all(0 <= reader.result() <= 5_000 for reader in readers)
    assert recorder.count() == 5_000
