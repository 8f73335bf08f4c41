"""Spans that wait to be sent: none is lost as long as there is room, and nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the SDK is not installed")

from opentelemetry.sdk.resources import Resource

from perfmw.exporters.spans import SpanQueue
from perfmw.profiles.request_span import RequestSpan


def span(name: str) -> RequestSpan:
    return RequestSpan(name, None, 1, Resource({}))


class Receiver:
    """Takes spans, unless it is away or they have a name that it does not like."""

    def __init__(self) -> None:
        self.away = False
        self.attempts = 0
        self.names: list[str] = []

    def __call__(self, spans: Sequence[Any]) -> bool:
        self.attempts += 1
        if self.away or any(one.name == "bad" for one in spans):
            return False
        self.names += [one.name for one in spans]
        return True


def queue(receiver: Any, **chosen: Any) -> SpanQueue:
    return SpanQueue(receiver, delay=0.01, first_pause=0.01, **chosen)


def until(condition: Any) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_all_that_fits_outlasts_an_outage() -> None:
    receiver = Receiver()
    receiver.away = True
    waiting = queue(receiver, most=20)
    for number in range(20):
        waiting.on_end(span(str(number)))
    until(lambda: receiver.attempts > 3)
    assert waiting.pending == 20
    receiver.away = False
    assert waiting.force_flush()
    assert sorted(receiver.names, key=int) == [str(number) for number in range(20)]
    assert (waiting.sent, waiting.dropped) == (20, 0)
    waiting.shutdown()


def test_beyond_the_bound_the_oldest_that_wait_make_way() -> None:
    receiver = Receiver()
    receiver.away = True
    waiting = queue(receiver, most=10)
    for number in range(50):
        waiting.on_end(span(str(number)))
    until(lambda: receiver.attempts > 3 and waiting.pending <= 10)
    receiver.away = False
    assert waiting.force_flush()
    assert "49" in receiver.names
    assert len(receiver.names) + waiting.dropped == 50
    assert waiting.dropped >= 30
    waiting.shutdown()


def test_what_is_refused_while_others_are_taken_is_given_up() -> None:
    receiver = Receiver()
    waiting = queue(receiver)
    waiting.on_end(span("bad"))
    until(lambda: receiver.attempts > 2)  # nobody else came: it may be the receiver that is away
    assert waiting.refused == 0
    waiting.on_end(span("good"))
    assert waiting.force_flush()
    assert (receiver.names, waiting.refused) == (["good"], 1)
    waiting.shutdown()


def test_who_ends_a_span_never_waits_for_the_receiver() -> None:
    stuck, entered = threading.Event(), threading.Event()

    def send(spans: Sequence[Any]) -> bool:
        entered.set()
        return stuck.wait(30.0)

    waiting = queue(send, most=10)
    waiting.on_end(span("first"))
    assert entered.wait(30.0)
    for number in range(100):
        waiting.on_end(span(str(number)))
    assert not stuck.is_set()
    assert waiting.dropped == 90
    stuck.set()
    assert waiting.force_flush()
    waiting.shutdown()


def test_a_queue_that_stops_sends_the_last_spans() -> None:
    receiver = Receiver()
    waiting = SpanQueue(receiver, delay=60.0)
    waiting.on_end(span("last"))
    waiting.shutdown(30.0)
    assert receiver.names == ["last"]
    waiting.on_end(span("too late"))
    assert receiver.names == ["last"]


def test_the_sdks_variables_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "7")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1500")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "nonsense")
    waiting = SpanQueue(Receiver())
    assert (waiting._most, waiting._batch, waiting._delay) == (7, 7, 1.5)
