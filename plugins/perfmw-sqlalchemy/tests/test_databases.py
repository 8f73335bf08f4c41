"""Pools of real databases: what is in use, who waits, for how long, and who gives up."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import perfmw_sqlalchemy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perfmw_sqlalchemy import DatabasePool, DatabasePools, EnginePool
from perfmw_sqlalchemy.sources import SqlAlchemy, source_of

from perfmw import PerfMiddleware, Settings
from perfmw.testing import Client, ResourcePoolContract

sqlalchemy = pytest.importorskip("sqlalchemy")
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine  # noqa: E402
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, QueuePool  # noqa: E402


def engine_of(path: Path, size: int = 1, overflow: int = 0, timeout: float = 5.0) -> Any:
    return sqlalchemy.create_engine(
        f"sqlite:///{path / 'db'}",
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=overflow,
        pool_timeout=timeout,
    )


def async_engine_of(path: Path, timeout: float = 5.0) -> AsyncEngine:
    pytest.importorskip("aiosqlite")
    return create_async_engine(
        f"sqlite+aiosqlite:///{path / 'db'}",
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=timeout,
    )


class TestContract(ResourcePoolContract):
    def make(self) -> DatabasePool:
        return DatabasePool("orders", [QueuePool(object, pool_size=3)])


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10.0
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


async def one_waits(pool: DatabasePool) -> None:
    while pool.sample(1.0).waiting != 1:  # noqa: ASYNC110  # a pool raises no event
        await asyncio.sleep(0.001)


def test_connections_in_use_of_a_sync_engine(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, size=3, overflow=2)
    pool = DatabasePool("orders", [engine])
    with engine.connect(), engine.connect():
        sample = pool.sample(1.0)
    assert (sample.name, sample.unit, sample.capacity, sample.used) == ("orders", "connections", 5.0, 2.0)
    assert sample.utilization == pytest.approx(0.4)
    assert (sample.waiting, sample.errors, sample.saturation, sample.wait_seconds) == (0, 0, 0.0, 0.0)
    assert pool.sample(2.0).used == 0.0
    engine.dispose()


def test_who_waits_in_a_thread_is_counted_and_timed(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)
    pool = DatabasePool("orders", [engine])
    held = engine.connect()
    waiting = threading.Thread(target=lambda: engine.connect().close())
    waiting.start()
    until(lambda: pool.sample(1.0).waiting == 1)
    assert pool.sample(1.0).saturation == 0.5
    time.sleep(0.05)
    held.close()
    waiting.join()
    sample = pool.sample(2.0)
    assert sample.waiting == 0
    assert sample.wait_seconds is not None
    assert sample.wait_seconds >= 0.05
    assert pool.sample(3.0).wait_seconds == 0.0
    engine.dispose()


def test_who_gives_up_is_an_error(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, timeout=0.02)
    pool = DatabasePool("orders", [engine])
    with engine.connect(), pytest.raises(sqlalchemy.exc.TimeoutError):
        engine.connect()
    assert pool.sample(1.0).errors == 1
    engine.dispose()


def test_two_who_watch_a_pool_count_a_wait_once(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, timeout=0.02)
    pools = [DatabasePool(name, [engine]) for name in "ab"]
    with engine.connect(), pytest.raises(sqlalchemy.exc.TimeoutError):
        engine.connect()
    assert [pool.sample(1.0).errors for pool in pools] == [1, 1]
    engine.dispose()


def test_a_pool_without_bound_or_without_connections_to_keep(tmp_path: Path) -> None:
    unbounded, none = (
        engine_of(tmp_path, overflow=-1),
        sqlalchemy.create_engine("sqlite://", poolclass=NullPool),
    )
    with unbounded.connect(), none.connect():
        sample = DatabasePool("orders", [unbounded, none]).sample(1.0)
    assert (sample.used, sample.capacity, sample.utilization) == (1.0, None, None)
    unbounded.dispose()


def test_what_is_no_pool_is_told(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="dict is no engine"):
        DatabasePools(orders={})


def test_a_pool_that_is_gone_is_left_out() -> None:
    pool = QueuePool(object, pool_size=3)
    source = source_of(pool)
    assert isinstance(source, SqlAlchemy)
    assert source.read() is not None
    del pool
    gc.collect()
    assert source.read() is None


@pytest.mark.anyio
async def test_who_waits_for_an_async_engine(tmp_path: Path) -> None:
    engine = async_engine_of(tmp_path)
    pool = DatabasePool("orders", [engine])
    async with engine.connect():
        waiting = asyncio.create_task(_use(engine))
        await one_waits(pool)
        await asyncio.sleep(0.03)
    await waiting
    sample = pool.sample(2.0)
    assert sample.wait_seconds is not None
    assert sample.wait_seconds >= 0.03
    await engine.dispose()


async def _use(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(sqlalchemy.text("select 1"))


@pytest.mark.anyio
async def test_installed_it_finds_every_engine(tmp_path: Path) -> None:
    engine = engine_of(tmp_path)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with engine.connect():
            taken.append(pool.sample(1.0))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    taken: list[Any] = []
    site = PerfMiddleware(app, Settings(plugins=[]), plugins=[perfmw_sqlalchemy])
    pool = site.runtime.plugins.resource_pools["database"]
    assert isinstance(pool, EnginePool)
    assert (await Client(site).get("/")).status == 200
    assert (taken[0].used, taken[0].capacity) == (1.0, 1.0)
    site.runtime.tick(time.time())
    assert "database" in [one.name for one in site.runtime.snapshot().pools]
    await site.runtime.stop()
    assert pool.sources() == []
    with engine.connect():
        assert pool.sample(2.0).used == 0.0
    engine.dispose()


def test_pools_have_names() -> None:
    plugin = DatabasePools(orders=QueuePool(object), reports=QueuePool(object))
    pools = plugin.perfmw_register_resource_pools(settings=Settings(plugins=[]))
    assert [pools[name].sample(1.0).name for name in pools] == ["orders", "reports"]


# ---- with PostgreSQL


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own on a socket; the address of its database."""
    initdb, server = _program("initdb"), _program("postgres")
    if initdb is None or server is None:
        pytest.skip("PostgreSQL is not installed")
    base = tmp_path_factory.mktemp("pg")
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = {"user": "nobody", "group": "nogroup"}
        for one in (base, *list(base.parents)[: len(base.parents) - 2]):
            one.chmod(0o755)
        shutil.chown(base, **user)
    run: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": base, **user}
    data = base / "data"
    subprocess.run([initdb, "-D", data, "-A", "trust", "-U", "tester", "--no-sync"], check=True, **run)
    process = subprocess.Popen([server, "-D", data, "-k", base, "-c", "listen_addresses=", "-F"], **run)
    try:
        until(lambda: (base / ".s.PGSQL.5432").exists())
        yield f"postgresql://tester@/postgres?host={base}"
    finally:
        process.terminate()
        process.wait()


def _program(name: str) -> str | None:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(versions[-1]) if versions else None)


@pytest.mark.anyio
async def test_a_pool_of_asyncpg(postgres: str) -> None:
    asyncpg = pytest.importorskip("asyncpg")
    async with asyncpg.create_pool(postgres, min_size=1, max_size=1) as connections:
        pool = DatabasePool("reports", [connections])
        async with connections.acquire():
            with pytest.raises(TimeoutError):
                await connections.acquire(timeout=0.05)
            waiting = asyncio.create_task(_use_asyncpg(connections))
            await one_waits(pool)
            sample = pool.sample(2.0)
            assert (sample.capacity, sample.used, sample.errors) == (1.0, 1.0, 1)
            await asyncio.sleep(0.03)
        await waiting
        sample = pool.sample(3.0)
        assert sample.used == 0.0
        assert sample.wait_seconds is not None
        assert sample.wait_seconds >= 0.03


async def _use_asyncpg(connections: Any) -> None:
    async with connections.acquire() as connection:
        await connection.fetchval("select 1")


@pytest.mark.anyio
async def test_a_pool_of_psycopg(postgres: str) -> None:
    psycopg_pool = pytest.importorskip("psycopg_pool")
    async with psycopg_pool.AsyncConnectionPool(postgres, min_size=1, max_size=1, open=False) as connections:
        await connections.wait()
        pool = DatabasePool("reports", [connections])
        async with connections.connection():
            waiting = asyncio.create_task(_use_psycopg(connections))
            await one_waits(pool)
            assert (pool.sample(2.0).capacity, pool.sample(2.0).used) == (1.0, 1.0)
            with pytest.raises(psycopg_pool.PoolTimeout):
                async with connections.connection(timeout=0.02):
                    pass
        await waiting
        assert pool.sample(3.0).errors == 1


@pytest.mark.anyio
async def test_a_pool_of_psycopg_is_given_another_size(postgres: str) -> None:
    psycopg_pool = pytest.importorskip("psycopg_pool")
    async with psycopg_pool.AsyncConnectionPool(postgres, min_size=1, max_size=1, open=False) as connections:
        pool = DatabasePool("reports", [connections])
        assert pool.sample(1.0).resizable
        async with connections.connection():
            pool.resize(2)
            await asyncio.wait_for(_use_psycopg(connections), 10.0)
        assert pool.sample(2.0).capacity == 2.0
        with pytest.raises(ValueError, match="in its event loop"):
            await asyncio.to_thread(pool.resize, 3)
        pool.resize(1)
        await asyncio.sleep(0)
        await asyncio.wait_for(_use_psycopg(connections), 10.0)
        assert pool.sample(3.0).capacity == 1.0


@pytest.mark.anyio
async def test_who_waits_for_psycopg_already_is_served_by_a_pool_that_grows(postgres: str) -> None:
    psycopg_pool = pytest.importorskip("psycopg_pool")
    async with psycopg_pool.AsyncConnectionPool(postgres, min_size=1, max_size=1, open=False) as connections:
        pool = DatabasePool("reports", [connections])
        async with connections.connection():
            waiting = asyncio.create_task(_use_psycopg(connections))
            while not pool.sample(1.0).waiting:  # noqa: ASYNC110 - told by sampling alone
                await asyncio.sleep(0)
            pool.resize(2)
            await asyncio.wait_for(waiting, 10.0)


def test_who_waits_for_a_sync_pool_of_psycopg_is_served_too(postgres: str) -> None:
    psycopg_pool = pytest.importorskip("psycopg_pool")
    with (
        psycopg_pool.ConnectionPool(postgres, min_size=1, max_size=1) as connections,
        ThreadPoolExecutor(1) as thread,
    ):
        pool = DatabasePool("reports", [connections])
        with connections.connection():
            waiting = thread.submit(lambda: connections.putconn(connections.getconn(timeout=10.0)))
            while not pool.sample(1.0).waiting:
                time.sleep(0.001)
            pool.resize(2)
            waiting.result(10.0)


def test_a_sync_pool_of_psycopg_is_given_another_size(postgres: str) -> None:
    psycopg_pool = pytest.importorskip("psycopg_pool")
    with psycopg_pool.ConnectionPool(postgres, min_size=1, max_size=1) as connections:
        pool = DatabasePool("reports", [connections])
        with connections.connection():
            pool.resize(2)
            with connections.connection(timeout=10.0) as second:
                assert second.execute("select 1").fetchone() == (1,)
        assert pool.sample(2.0).capacity == 2.0


@pytest.mark.anyio
async def test_a_pool_of_asyncpg_keeps_its_size_and_says_how_it_is_set(postgres: str) -> None:
    asyncpg = pytest.importorskip("asyncpg")
    async with asyncpg.create_pool(postgres, min_size=1, max_size=1) as connections:
        pool = DatabasePool("reports", [connections])
        sample = pool.sample(1.0)
        assert (sample.resizable, sample.sized_by) == (False, "asyncpg.create_pool(dsn, max_size={})")
        with pytest.raises(ValueError, match="can not have 2 connections"):
            pool.resize(2)


async def _use_psycopg(connections: Any) -> None:
    async with connections.connection() as connection:
        await connection.execute("select 1")


def test_a_pool_grows_and_shrinks_while_it_is_used(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(
        f"sqlite:///{tmp_path}/a.db", poolclass=QueuePool, pool_size=2, max_overflow=1
    )
    pool = DatabasePool("orders", [engine])
    assert pool.sample(0.0).resizable
    held = [engine.connect() for _ in range(3)]
    pool.resize(6)
    held += [engine.connect() for _ in range(3)]
    sample = pool.sample(1.0)
    assert (sample.capacity, sample.used) == (6.0, 6.0)
    pool.resize(3)
    sample = pool.sample(2.0)
    assert (sample.capacity, sample.used) == (3.0, 6.0)
    for connection in held:
        connection.close()
    assert pool.sample(3.0).used == 0.0
    assert engine.pool.checkedin() == 2
    again = [engine.connect() for _ in range(3)]
    assert pool.sample(4.0).used == 3.0
    for connection in again:
        connection.close()
    engine.dispose()


@given(st.lists(st.tuples(st.sampled_from(["take", "give", "size"]), st.integers(1, 12)), max_size=60))
@settings(deadline=None, max_examples=40)
def test_whatever_its_size_a_pool_counts_its_connections(steps: list[tuple[str, int]]) -> None:
    engine = sqlalchemy.create_engine(
        "sqlite://", poolclass=QueuePool, pool_size=2, max_overflow=1, pool_timeout=0.001
    )
    pool, held, capacity = DatabasePool("orders", [engine]), list[Any](), 3
    for what, number in steps:
        if what == "size":
            pool.resize(number)
            capacity = number
        elif what == "give" and held:
            held.pop().close()
        elif what == "take" and len(held) < capacity:
            held.append(engine.connect())
        sample = pool.sample(0.0)
        assert (sample.capacity, sample.used) == (capacity, len(held))
    for connection in held:
        connection.close()
    assert pool.sample(1.0).used == 0.0
    engine.dispose()


@pytest.mark.anyio
async def test_the_pool_of_an_async_engine_grows(tmp_path: Path) -> None:
    pytest.importorskip("aiosqlite")
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/b.db", pool_size=1, max_overflow=0)
    pool = DatabasePool("orders", [engine])
    async with engine.connect():
        pool.resize(2)
        async with engine.connect():
            assert (pool.sample(0.0).used, pool.sample(0.0).capacity) == (2.0, 2.0)
    assert engine.sync_engine.pool.checkedin() == 2
    await engine.dispose()


def test_of_several_pools_nobody_knows_whose_to_change() -> None:
    engines = [sqlalchemy.create_engine("sqlite://", poolclass=QueuePool) for _ in range(2)]
    pool = DatabasePool("both", engines)
    assert not pool.sample(0.0).resizable
    with pytest.raises(ValueError, match="both can not have 9 connections"):
        pool.resize(9)
    for engine in engines:
        engine.dispose()
