"""Threads, the event loop and HTTP clients as pools: what is in use and who waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread
import pytest

from perfmw import PerfMiddleware, Settings
from perfmw.resources import HttpClientPool, HttpClientPools
from perfmw.resources.eventloop import EventLoopPool
from perfmw.resources.threads import AnyioPool, ExecutorPool
from perfmw.testing import ResourcePoolContract

pytestmark = pytest.mark.anyio


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(10.0):
        while not true():  # noqa: ASYNC110  # a pool raises no event
            await asyncio.sleep(0.002)


class TestExecutor(ResourcePoolContract):
    def make(self) -> ExecutorPool:
        return ExecutorPool()


class TestAnyio(ResourcePoolContract):
    def make(self) -> AnyioPool:
        return AnyioPool()


class TestEventLoop(ResourcePoolContract):
    def make(self) -> EventLoopPool:
        return EventLoopPool()


async def test_threads_of_the_default_executor() -> None:
    pool, loop = ExecutorPool(), asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(2))
    go = threading.Event()
    work = [loop.run_in_executor(None, go.wait) for _ in range(3)]
    await until(lambda: pool.sample(1.0).waiting == 1)
    sample = pool.sample(1.0)
    assert (sample.capacity, sample.used, sample.waiting) == (2.0, 2.0, 1)
    assert sample.saturation == pytest.approx(1 / 3)
    go.set()
    await asyncio.gather(*work)
    await until(lambda: pool.sample(2.0).used == 0.0)


async def test_threads_of_anyio() -> None:
    pool, go = AnyioPool(), threading.Event()
    work = asyncio.create_task(anyio.to_thread.run_sync(go.wait))
    await until(lambda: pool.sample(1.0).used == 1.0)
    sample = pool.sample(1.0)
    assert (sample.capacity, sample.used, sample.waiting) == (40.0, 1.0, 0)
    go.set()
    await work
    assert pool.sample(2.0).used == 0.0


async def test_a_busy_event_loop_is_told_with_how_long_a_callback_waits() -> None:
    pool = EventLoopPool()
    assert pool.sample(1.0).wait_seconds is None
    end = time.thread_time() + 0.05
    while time.thread_time() < end:
        pass
    await asyncio.sleep(0)
    sample = pool.sample(2.0)
    assert sample.used > 0.0
    assert sample.wait_seconds is not None
    assert sample.wait_seconds >= 0.05


async def test_connections_of_an_http_client() -> None:
    httpx = pytest.importorskip("httpx")
    go = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(slow, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        limits = httpx.Limits(max_connections=2)
        async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
            pool = HttpClientPool("partner", client)
            asked = [asyncio.create_task(client.get(url)) for _ in range(3)]
            await until(lambda: pool.sample(1.0).used == 2.0)
            sample = pool.sample(1.0)
            assert (sample.capacity, sample.used, sample.waiting) == (2.0, 2.0, 1)
            go.set()
            assert [one.status_code for one in await asyncio.gather(*asked)] == [200] * 3
            assert pool.sample(2.0).used == 0.0


def test_what_is_no_client_is_told() -> None:
    with pytest.raises(TypeError, match="str is no client"):
        HttpClientPools(partner="http://partner")


async def test_all_pools_are_sampled_by_name() -> None:
    httpx = pytest.importorskip("httpx")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError

    async with httpx.AsyncClient() as client:
        site = PerfMiddleware(app, Settings(plugins=[]), plugins=[HttpClientPools(partner=client)])
        site.runtime.tick(time.time())
        names = {one.name for one in site.runtime.snapshot().pools}
        assert {"event-loop", "threads", "anyio-threads", "partner"} <= names
        await site.runtime.stop()
