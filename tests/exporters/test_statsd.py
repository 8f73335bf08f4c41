from __future__ import annotations

import asyncio
import socket

import pytest

from perfmw.contracts.snapshot import RuntimeSnapshot
from perfmw.exporters.pushing import ATTEMPTS, Pusher
from perfmw.exporters.statsd import StatsdExporter, packets, safe
from perfmw.profiles import ProfileStore

pytestmark = pytest.mark.anyio


async def test_counters_tell_what_came_since_the_last_time() -> None:
    store = ProfileStore()
    recorder = store.recorder("GET /items/{id}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(5.0)
        exporter = StatsdExporter("127.0.0.1", ear.getsockname()[1])
        heard = []
        for count in (3, 2):
            for _ in range(count):
                recorder.origin(0.1, 200, "uri-miss")
            await exporter.export(RuntimeSnapshot(0.0, 0.0, store.snapshot(patience=9.0)))
            heard.append(set(ear.recv(65_536).decode().split("\n")))
        await exporter.aclose()
    path = "perfmw.component.GET_items_id"
    assert f"{path}.requests:3|c" in heard[0]
    assert f"{path}.requests:2|c" in heard[1]
    assert any(line.startswith(f"{path}.p95_ms:") and line.endswith("|g") for line in heard[0])
    assert not any("errors" in line for line in heard[0])


def test_names_and_packets_are_safe() -> None:
    assert safe("GET /a:b|c@d.e/{id}") == "GET_a_b_c_d_e_id"
    assert safe("/") == "_"
    lines = [f"metric.{number}:1|c" for number in range(500)]
    cut = list(packets(lines, 100))
    assert b"\n".join(cut).decode().split("\n") == lines
    assert max(map(len, cut)) <= 100


async def test_failures_are_tried_again_and_given_up() -> None:
    calls = []

    def send(snapshot: RuntimeSnapshot) -> None:
        calls.append(snapshot)
        raise OSError("away")

    pusher = Pusher("test", send, first_pause=0.001)
    await pusher.push(RuntimeSnapshot(0.0, 0.0))
    assert len(calls) == pusher.failures == ATTEMPTS
    assert (pusher.sent, pusher.dropped) == (0, 1)


async def test_a_newer_snapshot_overtakes_a_waiting_one() -> None:
    seen: list[float] = []
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def send(snapshot: RuntimeSnapshot) -> None:
        seen.append(snapshot.taken_at)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10)

    pusher = Pusher("test", send)
    first = asyncio.create_task(pusher.push(RuntimeSnapshot(1.0, 0.0)))
    await asyncio.sleep(0.05)
    await pusher.push(RuntimeSnapshot(2.0, 0.0))
    await pusher.push(RuntimeSnapshot(3.0, 0.0))
    gate.set()
    await first
    assert seen == [1.0, 3.0]
    assert (pusher.sent, pusher.dropped) == (2, 1)
