"""Namespaces: caches of their own, with their own limits and figures, invalidated as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perfmw import Runtime, Settings, cached
from perfmw.cache import cached_many
from perfmw.cache.scope import set_provider
from perfmw.settings import SettingsError

pytestmark = pytest.mark.anyio


def runtime_with(tmp_path: Path, namespaces: dict[str, Any], **settings: Any) -> Runtime:
    return Runtime(Settings.load(env={}, cwd=tmp_path, plugins=[], namespaces=namespaces, **settings))


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a runtime the one that cached functions find."""
    before: list[Any] = []

    def choose(runtime: Runtime) -> Runtime:
        before.append(set_provider(lambda: runtime))
        return runtime

    yield choose
    for provider in reversed(before):
        set_provider(provider)


async def test_a_function_uses_its_namespaces_cache(tmp_path: Path, use: Any) -> None:
    runtime = use(runtime_with(tmp_path, {"session": {"memory_max_entries": 5, "eviction_policy": "fifo"}}))

    @cached(namespace="session")
    async def load_session(number: int) -> int:
        return number

    @cached(namespace="session")
    async def load_cart(number: int) -> int:
        return -number

    @cached(namespace="session")
    def load_now(number: int) -> int:
        return number * 2

    for number in range(20):
        assert await load_session(number) == number
        assert await load_cart(number) == -number, "functions of a namespace do not share keys"
        assert load_now(number) == 2 * number
    infos = {info.name: info for info in runtime.spaces.infos()}
    assert infos["session.memory"].entries == 5
    assert (infos["session.memory"].namespace, infos["session.memory"].policy) == ("session", "fifo")
    assert infos["memory"].entries == 0


async def test_names_behind_a_type_are_namespaces_of_their_own_or_of_their_type(
    tmp_path: Path, use: Any
) -> None:
    runtime = use(runtime_with(tmp_path, {"database": {}, "database.reports": {"ttl": 30}}))

    @cached(namespace="database.reports")
    async def report() -> int:
        return 1

    @cached(namespace="database.users")
    async def user() -> int:
        return 2

    @cached(namespace="elsewhere")
    async def other() -> int:
        return 3

    assert [await report(), await user(), await other()] == [1, 2, 3]
    entries = {info.name: info.entries for info in runtime.spaces.infos()}
    assert entries == {"memory": 1, "database.memory": 1, "database.reports.memory": 1}


async def test_the_namespaces_ttl_is_for_what_says_none(tmp_path: Path, use: Any) -> None:
    runtime = use(runtime_with(tmp_path, {"api": {"ttl": 30}}))

    @cached(namespace="api")
    async def plain() -> int:
        return 1

    @cached(namespace="api", ttl=500)
    async def own() -> int:
        return 2

    await plain()
    await own()
    cache = runtime.spaces.caches["api"]
    left = [cache.get_nowait(function.key()).remaining(cache.now()) for function in (plain, own)]
    assert left == [pytest.approx(30, abs=5), pytest.approx(500, abs=5)]


async def test_batches_use_it_too(tmp_path: Path, use: Any) -> None:
    runtime = use(runtime_with(tmp_path, {"database": {}}))

    @cached_many(namespace="database", ttl=60)
    async def load(ids: list[int]) -> dict[int, int]:
        return {number: number for number in ids}

    assert await load([1, 2]) == {1: 1, 2: 2}
    assert len(runtime.spaces.caches["database"].memory) == 2
    assert await load.invalidate(1) == 1


async def test_one_invalidation_reaches_all(tmp_path: Path, use: Any) -> None:
    runtime = use(runtime_with(tmp_path, {"session": {}, "database": {}}))
    for name, cache in runtime.spaces.caches.items():
        await cache.put(f"k:{name}", name, ttl=60, tags=["t"])
        await cache.put(f"p:{name}", name, ttl=60)
    counted = await runtime.invalidate(tags=["t"], prefix="p:", dry_run=True)
    assert counted.layers == {"memory": 2, "session.memory": 2, "database.memory": 2}
    assert counted == 6
    assert await runtime.invalidate(tags=["t"], prefix="p:") == 3
    for name, cache in runtime.spaces.caches.items():
        assert cache.get_nowait(f"k:{name}") is None
        assert cache.get_nowait(f"p:{name}") is None


async def test_each_namespace_has_its_file_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    runtime = runtime_with(
        tmp_path,
        {"session": {"layers": ["memory", "disk"], "disk_max_bytes": "2MiB"}},
        disk_path=str(path),
        layers=["disk"],
        layer_deadline=5,
    )
    await runtime.spaces.caches["session"].put("k", 1, ttl=60)
    assert await runtime.cache.get("k") is None
    assert (tmp_path / "c-session.db").exists()
    assert {info.name: info.max_bytes for info in runtime.spaces.infos() if info.kind != "memory"} == {
        "disk": 1024**3,
        "session.disk": 2 * 1024**2,
    }
    await runtime.spaces.close()


def test_without_configuration_there_is_one_cache(tmp_path: Path) -> None:
    runtime = runtime_with(tmp_path, {})
    assert runtime.responses is runtime.cache
    assert runtime.space("session") is runtime
    [manager] = runtime.cache_managers()
    assert (manager.name, manager.type) == ("shared", "application")


def test_a_layer_that_nobody_registered_is_named_with_its_namespace(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"namespaces\.session \(from keyword\): .*'grid'"):
        runtime_with(tmp_path, {"session": {"layers": ["grid"]}})


async def test_managers_have_the_plans_fields_with_live_figures(tmp_path: Path) -> None:
    runtime = runtime_with(
        tmp_path,
        {"session": {"memory_max_bytes": "1MiB", "ttl": 60}},
        layers=["memory", "disk"],
        disk_path=str(tmp_path / "c.db"),
        layer_deadline=5,
    )
    cache = runtime.spaces.caches["session"]
    await cache.put("k", b"x" * 1_000, ttl=None)
    for _ in range(3):
        assert cache.get_nowait("k") is not None
    assert cache.get_nowait("absent") is None
    shared, session = runtime.cache_managers()
    assert (shared.name, session.name, session.type) == ("shared", "session", "session")
    assert session.layers.l1_cache is not None
    assert session.layers.l2_cache is not None
    assert (session.layers.l1_cache.max_bytes, session.layers.l1_cache.hits) == (1024**2, 3)
    assert session.layers.l3_cache is None
    assert session.metrics.layer_hit_rates["session.memory"] == 0.75
    assert session.metrics.overall_hit_rate >= 0.75
    assert session.metrics.memory_efficiency > 100
    assert session.configuration.global_settings["default_ttl"] == 60
    assert session.configuration.layer_settings["session.memory"]["max_bytes"] == 1024**2
    assert shared.metrics.overall_hit_rate == 0.0
    await runtime.spaces.close()
