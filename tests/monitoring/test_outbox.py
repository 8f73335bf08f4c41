from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from perfmw.contracts import Alert
from perfmw.monitoring.outbox import Outbox
from perfmw.monitoring.posting import DeliveryError
from perfmw.monitoring.silences import Silence
from perfmw.monitoring.store import FILE, MonitoringStore
from perfmw.monitoring.timeline import Annotation
from perfmw.monitoring.webhooks import WebhookChannel
from tests.monitoring.receiver import receiving

pytestmark = pytest.mark.anyio


def alert(key: str = "k", severity: Literal["low", "medium", "high"] = "medium", text: str = "slow") -> Alert:
    return Alert(key, "t", severity, text, "GET /x", 10.0)


class Channel:
    name = "fake"

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.told: list[Alert] = []

    async def send(self, alert: Alert) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.told.append(alert)


@asynccontextmanager
async def running(box: Outbox) -> AsyncIterator[Outbox]:
    task = asyncio.create_task(box.run())
    try:
        yield box
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_alerts_come_in_order() -> None:
    channel = Channel()
    async with running(Outbox(channel)) as box:
        for name in "abc":
            box.offer(alert(name))
        assert await box.flush(5.0) == 0
    assert [one.key for one in channel.told] == ["a", "b", "c"]
    assert box.info().sent == 3


async def test_what_fails_is_tried_again_and_what_is_refused_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    channel = Channel(OSError("down"), OSError("down"), DeliveryError("no", retry=False))
    async with running(Outbox(channel, first_pause=0.001)) as box:
        box.offer(alert("a"))
        box.offer(alert("b"))
        assert await box.flush(5.0) == 0
    assert [one.key for one in channel.told] == ["b"]
    assert (box.info().sent, box.info().failed) == (1, 1)
    assert len(caplog.records) == 2, "one when it begins, one when it is given up"


async def test_attempts_are_bounded() -> None:
    channel = Channel(*[OSError("down")] * 10)
    async with running(Outbox(channel, first_pause=0.0, attempts=3)) as box:
        box.offer(alert())
        await box.flush(5.0)
    assert box.info().failed == 1
    assert len(channel.errors) == 7


async def test_one_that_hangs_is_given_up_in_time() -> None:
    class Hanging(Channel):
        async def send(self, alert: Alert) -> None:
            await asyncio.Event().wait()

    async with running(Outbox(Hanging(), longest_send=0.01, first_pause=0.0, attempts=2)) as box:
        box.offer(alert())
        assert await box.flush(5.0) == 0
    assert box.info().failed == 1


async def test_a_later_state_takes_the_place_of_one_that_waits() -> None:
    channel = Channel()
    box = Outbox(channel)
    for number in range(100):
        box.offer(alert("a", text=f"state {number}"))
    box.offer(replace(alert("a"), resolved_at=20.0))
    async with running(box):
        await box.flush(5.0)
    assert [(one.message, one.resolved_at) for one in channel.told] == [("state 99", None), ("slow", 20.0)]


async def test_the_queue_is_bounded() -> None:
    channel = Channel()
    box = Outbox(channel, room=10)
    for number in range(25):
        box.offer(alert(str(number)))
    assert box.info().dropped == 15
    async with running(box):
        await box.flush(5.0)
    assert [one.key for one in channel.told] == [str(number) for number in range(15, 25)]


async def test_a_flush_that_begins_before_the_work_does_ends_with_it() -> None:
    box = Outbox(Channel())
    box.offer(alert())
    waits = asyncio.create_task(box.flush(600.0))
    await asyncio.sleep(0)
    async with running(box), asyncio.timeout(30.0):
        assert await waits == 0


async def test_the_severity_of_a_channel() -> None:
    channel = Channel()
    async with running(Outbox(channel, least="high")) as box:
        box.offer(alert("quiet", "medium"))
        box.offer(replace(alert("quiet", "medium"), resolved_at=20.0))
        box.offer(alert("loud", "high"))
        await box.flush(5.0)
        box.offer(alert("loud", "low"))
        await box.flush(5.0)
        box.offer(replace(alert("loud", "low"), resolved_at=20.0))
        await box.flush(5.0)
    assert [(one.key, one.severity, one.resolved_at) for one in channel.told] == [
        ("loud", "high", None), ("loud", "low", None), ("loud", "low", 20.0),
    ]  # fmt: skip


async def test_what_waits_survives_a_restart(tmp_path: Path) -> None:
    async with receiving(500, None) as receiver:
        store = MonitoringStore(str(tmp_path))
        box = Outbox(WebhookChannel("ops", receiver.url, timeout=30.0), keeps=store, first_pause=0.01)
        async with running(box):
            box.offer(alert("a"))
            box.offer(alert("b"))
            await receiver.until(2)
            assert await box.flush(0.05) == 2
        await box.close()
        store.close()
        store = MonitoringStore(str(tmp_path))
        async with running(Outbox(WebhookChannel("ops", receiver.url), keeps=store)) as box:
            await receiver.until(4)
            await box.flush(5.0)
        assert [one["data"]["key"] for one in receiver.messages] == ["a", "a", "a", "b"]
        ids = [head["webhook-id"] for head in receiver.headers]
        assert len(set(ids)) == 2, "an attempt at the same message has its id"
        assert store.waiting("ops") == []
        store.close()


async def test_only_who_leads_tells() -> None:
    channel, leads = Channel(), [False]
    async with running(Outbox(channel, leads=lambda: leads[0])) as box:
        box.offer(alert())
        assert await box.flush(0.05) == 1
    assert channel.told == []


# ---- the store


def test_silences_and_annotations_are_kept_and_bounded(tmp_path: Path) -> None:
    store = MonitoringStore(str(tmp_path))
    store.silence(Silence("1", "GET /x", until=100.0))
    store.silence(Silence("2", "*", until=200.0, why="deploy"))
    assert [one.id for one in store.silences(50.0)] == ["1", "2"]
    assert [one.id for one in store.silences(150.0)] == ["2"]
    assert store.unsilence("2")
    assert not store.unsilence("2")
    for number in range(600):
        store.annotate(Annotation(float(number), "deploy", f"v{number}"))
    kept = store.annotations()
    assert (len(kept), kept[0].text, kept[-1].text) == (500, "v100", "v599")
    store.close()
    assert ((tmp_path / FILE).stat().st_mode & 0o077) == 0


def test_another_process_sees_what_changed(tmp_path: Path) -> None:
    one, two = MonitoringStore(str(tmp_path)), MonitoringStore(str(tmp_path))
    assert one.changed()
    assert not one.changed()
    two.silence(Silence("1", "GET /x", until=100.0))
    assert one.changed()
    assert [silence.id for silence in one.silences(0.0)] == ["1"]
    one.close()
    two.close()


def test_a_damaged_file_is_named_and_memory_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    store = MonitoringStore(str(tmp_path))
    assert FILE in caplog.text
    store.keep("x", {"a": 1})
    assert store.kept("x") == {"a": 1}
    store._database.execute("DROP TABLE kept")
    assert store.kept("x") is None
    assert store.failures > 0
    store.close()


def test_the_waiting_are_bounded() -> None:
    store = MonitoringStore()
    for number in range(30):
        store.wait("ops", str(number).encode(), 10)
    assert [body for _, body in store.waiting("ops")] == [str(number).encode() for number in range(20, 30)]
    store.close()
