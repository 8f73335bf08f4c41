"""Every built-in keeps the contract that a stranger's plugin must keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiocache import SimpleMemoryCache
from aiocache.base import BaseCache

from perfmw import Settings, defaults
from perfmw.cache import MemoryLayer, TieredCache
from perfmw.cache.eviction import POLICIES
from perfmw.contracts import EvictionPolicy, EvictionPolicyFactory
from perfmw.plugins import Plugins
from perfmw.testing import (
    AlertChannelContract,
    CacheLayerContract,
    EvictionPolicyContract,
    ExporterContract,
    FakeClock,
    OptimizerContract,
    ResourcePoolContract,
)

BUILT_INS = Plugins(Settings.load(env={}, cwd="/nonexistent", plugins=[]), defaults=defaults)


def suite_for(factory: EvictionPolicyFactory) -> type[EvictionPolicyContract]:
    class Suite(EvictionPolicyContract):
        def make(self, capacity: int) -> EvictionPolicy:
            return factory(capacity)

    return Suite


for _name, _factory in BUILT_INS.eviction_policies.items():
    globals()[f"TestPolicy_{_name}"] = suite_for(_factory)


def test_there_are_built_ins_of_each_kind() -> None:
    assert BUILT_INS.problems == []
    assert set(POLICIES) == set(BUILT_INS.eviction_policies)
    assert list(BUILT_INS.cache_layers) == ["memory", "disk"]
    optimizers = ["cache_route", "rule_ttl", "memory_layer", "pool_size", "allotment", "switches"]
    optimizers += ["advice", "forecast"]
    assert list(BUILT_INS.optimizers) == optimizers
    assert list(BUILT_INS.exporters) == ["prometheus"]
    assert list(BUILT_INS.alert_channels) == ["log"]
    pools = ["anyio-threads", "cpu", "descriptors", "event-loop", "memory", "network", "storage", "threads"]
    assert sorted(BUILT_INS.resource_pools) == pools


def test_a_snapshot_file_brings_the_json_exporter(tmp_path: Path) -> None:
    settings = Settings.load(env={}, cwd=tmp_path, plugins=[], snapshot_file=str(tmp_path / "s.jsonl"))
    assert sorted(Plugins(settings, defaults=defaults).exporters) == ["json", "prometheus"]


class TestMemoryLayerByEntries(CacheLayerContract):
    clock = FakeClock()

    async def make(self) -> BaseCache:
        return MemoryLayer(max_entries=1_000, clock=self.clock)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


class TestMemoryLayerByBytes(TestMemoryLayerByEntries):
    async def make(self) -> BaseCache:
        return MemoryLayer(max_bytes=16 * 2**20, clock=self.clock)


class TestBuiltInMemoryLayer(CacheLayerContract):
    async def make(self) -> BaseCache:
        return BUILT_INS.cache_layers["memory"]()


class TestTieredCache(CacheLayerContract):
    async def make(self) -> BaseCache:
        return TieredCache([("memory", MemoryLayer(max_entries=1_000))])


class TestTwoTiers(CacheLayerContract):
    short_ttl = 1.0  # far layers count whole seconds

    async def make(self) -> BaseCache:
        return TieredCache([("memory", MemoryLayer(max_entries=3)), ("far", SimpleMemoryCache())])

    async def pass_time(self, seconds: float) -> None:
        pytest.skip("time passes for the near layer in TestTieredCache")


class TestPrometheus(ExporterContract):
    def make(self) -> Any:
        return BUILT_INS.exporters["prometheus"]


@pytest.mark.usefixtures("in_tmp_path")
class TestJson(ExporterContract):
    def make(self) -> Any:
        from perfmw.exporters import JsonExporter

        return JsonExporter("snapshots.jsonl")


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestCpu(ResourcePoolContract):
    name = "cpu"

    def make(self) -> Any:
        settings = Settings.load(env={}, cwd="/nonexistent", plugins=[])
        return Plugins(settings, defaults=defaults).resource_pools[self.name]


class TestMemory(TestCpu):
    name = "memory"


class TestStorage(TestCpu):
    name = "storage"


class TestNetwork(TestCpu):
    name = "network"


class TestLogChannel(AlertChannelContract):
    def make(self) -> Any:
        return BUILT_INS.alert_channels["log"]


class TestCacheRoute(OptimizerContract):
    def make(self) -> Any:
        return BUILT_INS.optimizers["cache_route"]
