from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import Any

import pytest

from perfmw import PerfMiddleware, Settings
from perfmw.profiles.health import LoopMonitor, _frame_of
from perfmw.testing import Client

pytestmark = pytest.mark.anyio


def block_the_loop(seconds: float) -> None:
    time.sleep(seconds)


async def serve_something(event: asyncio.Event) -> None:
    await event.wait()


async def through_a_middleware(event: asyncio.Event) -> None:
    await serve_something(event)


async def test_who_blocks_the_loop_is_named() -> None:
    lags: list[float] = []
    monitor = LoopMonitor(lags.append)
    monitor.start()
    await asyncio.sleep(0.12)
    for _ in range(10):  # the thread that looks may have to wait for a processor
        block_the_loop(0.4)
        await asyncio.sleep(0.12)
        health = monitor.health()
        named = [one for one in health.slow if "block_the_loop" in one.function]
        if named:
            break
    monitor.stop()
    assert named[0].seconds >= 0.3
    assert abs(named[0].at - time.time()) < 60.0
    assert health.lag.count == len(lags) >= 2
    assert any(end - start >= 0.3 for start, end in monitor.lags())


async def test_who_blocks_a_loop_that_was_calm_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfmw.profiles.health.CALM_BEAT", 60.0)
    monitor = LoopMonitor()
    monitor.calm = True
    monitor.start()
    await asyncio.sleep(0.01)
    monitor.stir()
    assert not monitor.calm
    found: list[str] = []
    for _ in range(10):  # the thread that looks may have to wait for a processor
        block_the_loop(0.4)
        await asyncio.sleep(0.12)
        found = [one.function for one in monitor.health().slow]
        if any("block_the_loop" in function for function in found):
            break
    monitor.stop()
    assert any("block_the_loop" in function for function in found)


async def test_a_request_ends_the_calm() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    middleware = PerfMiddleware(app, settings=Settings(plugins=[]))
    async with Client(middleware) as client:
        middleware.runtime.loop.calm = True
        await client.get("/")
        assert not middleware.runtime.loop.calm


async def test_requests_under_way_are_found_in_their_tasks() -> None:
    monitor = LoopMonitor(serving=[serve_something.__code__])
    monitor.start()
    event = asyncio.Event()
    tasks = [asyncio.create_task(through_a_middleware(event)) for _ in range(3)]
    tasks.append(asyncio.create_task(event.wait(), name="something else"))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    health = monitor.health()
    assert health.active_requests == 3
    assert health.tasks >= 5
    event.set()
    await asyncio.gather(*tasks)
    assert monitor.health().active_requests == 0
    monitor.stop()


async def test_collections_are_counted_while_it_runs_and_not_after() -> None:
    monitor = LoopMonitor()
    monitor.start()
    monitor.start()
    assert gc.callbacks.count(monitor._collected) == 1  # others' may come and go meanwhile
    gc.collect()
    assert monitor.health().gc.count >= 1
    monitor.stop()
    monitor.stop()
    assert monitor._collected not in gc.callbacks
    assert monitor.health().tasks == 0


async def test_it_can_be_started_again() -> None:
    monitor = LoopMonitor()
    for _ in range(2):
        monitor.start()
        await asyncio.sleep(0.12)
        monitor.stop()
    assert monitor.health().lag.count >= 2


def test_it_ends_with_a_loop_that_nobody_stopped_it_for() -> None:
    monitor = LoopMonitor()

    async def begin() -> threading.Thread:
        monitor.start()
        (thread,) = (one for one in threading.enumerate() if one is monitor._thread)
        return thread

    thread = asyncio.run(begin())
    thread.join(10)
    assert not thread.is_alive()
    assert monitor._collected not in gc.callbacks


@pytest.mark.parametrize("collects", [True, False])
def test_no_garbage_is_collected_while_frames_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, collects: bool
) -> None:
    """There a collection can stop the process for good (python/cpython issue 106883)."""
    seen: list[bool] = []

    def frames() -> dict[int, FrameType]:
        seen.append(gc.isenabled())
        return {1: sys._getframe()}

    monkeypatch.setattr(sys, "_current_frames", frames)
    before = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        assert _frame_of(1) is not None
        assert (seen, gc.isenabled()) == ([False], collects)
    finally:
        (gc.enable if before else gc.disable)()


LOOKING = """
import gc, os, sys, threading, time
from perfmw.profiles.health import _frame_of

class Knot: ...

def leave_garbage():
    knot = Knot()
    knot.itself, knot.local = knot, threading.local()
    knot.local.value = 1
    time.sleep(0.0002)

def work():
    while True:
        leave_garbage()

gc.set_threshold(3, 2, 2)
for _ in range(12):
    threading.Thread(target=work, daemon=True).start()
for _ in range(3_000):
    assert _frame_of(threading.get_ident()) is not None
    time.sleep(0.0001)
os._exit(0)
"""


def test_looking_at_threads_that_leave_garbage_never_stops_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", LOOKING], timeout=60)
    assert done.returncode == 0


ASKS_OF_ITSELF = """
import asyncio, functools
from perfmw.profiles.health import LoopMonitor

async def asks(health):
    for _ in range(20_000):
        health()

async def main():
    monitor = LoopMonitor()
    monitor.start()
    await asyncio.create_task(asks(functools.partial(monitor.health)))
    monitor.stop()

asyncio.run(main())
"""


def test_a_task_may_ask_for_the_health_of_its_own_loop() -> None:
    """What a running coroutine awaits must not be asked for: Python 3.11 reads outside its stack then."""
    ended = subprocess.run([sys.executable, "-c", ASKS_OF_ITSELF], capture_output=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2_000:]
