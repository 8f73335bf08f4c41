"""A strategy becomes settings, and these become a cache."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from perfmw import Runtime, Settings
from perfmw.cache.strategies import settings_for
from perfmw.contracts import (
    CacheOptimizationFlags,
    CachePatterns,
    CachePerformance,
    CacheStrategy,
    CacheStrategyConfiguration,
    CacheStrategyMetadata,
    StrategyType,
)
from perfmw.settings import SettingsError


def strategy(kind: StrategyType, *, compress: bool = True, encrypt: bool = False) -> CacheStrategy:
    now = time.time()
    return CacheStrategy(
        id="s",
        name="shop",
        type=kind,
        configuration=CacheStrategyConfiguration(4 * 1024**2, 90.0, "s3fifo", compress, encrypt),
        patterns=CachePatterns(),
        performance=CachePerformance(),
        optimization=CacheOptimizationFlags(),
        metadata=CacheStrategyMetadata("test", now, now),
    )


def test_a_strategy_for_all(tmp_path: Path) -> None:
    runtime = Runtime(Settings.load(env={}, cwd=tmp_path, plugins=[], **settings_for(strategy("hybrid"))))
    near, disk = runtime.cache.infos()
    assert (near.max_bytes, near.policy, disk.kind) == (4 * 1024**2, "s3fifo", "perfmw-disk")


def test_a_strategy_for_a_namespace(tmp_path: Path) -> None:
    chosen = settings_for(strategy("memory"), namespace="session")
    settings = Settings.load(env={}, cwd=tmp_path, plugins=[], **chosen)
    runtime = Runtime(settings)
    assert settings.namespaces["session"].ttl == 90
    by_name = {info.name: info.max_bytes for info in runtime.spaces.infos()}
    assert by_name == {"memory": 64 * 1024**2, "session.memory": 4 * 1024**2}


def test_the_size_of_a_disk_strategy_bounds_the_disk() -> None:
    found = settings_for(strategy("disk", compress=False))
    assert found == {
        "cache_strategy": "disk",
        "disk_max_bytes": 4 * 1024**2,
        "eviction_policy": "s3fifo",
        "codecs": [],
    }


def test_encryption_that_is_wanted_is_never_left_out(tmp_path: Path) -> None:
    found = settings_for(strategy("disk", encrypt=True))
    with pytest.raises(SettingsError, match="aes-256-gcm"):
        Runtime(Settings.load(env={}, cwd=tmp_path, plugins=[], **found))
