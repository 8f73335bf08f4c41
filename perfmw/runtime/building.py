"""From names in the settings to layers, codecs and caches, through what the plugins registered."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmw.cache.codecs import Chain
from perfmw.cache.memory import MemoryLayer
from perfmw.cache.tags import TagIndex
from perfmw.cache.tiered import TieredCache
from perfmw.cache.write_behind import Queueing
from perfmw.plugins import Plugins
from perfmw.settings import Namespace, Settings, SettingsError

if TYPE_CHECKING:
    from aiocache.base import BaseCache

    from perfmw.cache.layers import FarLayer
    from perfmw.runtime.limits import Limits

log = logging.getLogger("perfmw.runtime")


def cache_of(
    settings: Settings, plugins: Plugins, tags: TagIndex, default_ttl: float | None = None
) -> TieredCache:
    """A cache as the settings describe it.

    :raises SettingsError: nobody registered a layer, a codec or the eviction policy.
    """
    return TieredCache(
        layers_of(settings, plugins),
        tags,
        codec_of(settings, plugins),
        deadline=settings.layer_deadline,
        write_behind=settings.write_behind,
        queueing=Queueing(
            settings.write_behind_max_entries, settings.write_behind_max_bytes, settings.write_behind_flush
        ),
        default_ttl=default_ttl,
    )


def cache_of_namespace(name: str, settings: Settings, plugins: Plugins, tags: TagIndex) -> TieredCache:
    """The cache of a namespace: what its table says, the rest as for all.

    :raises SettingsError: as ``cache_of``; the message names the namespace.
    """
    table = settings.namespaces[name]
    try:
        cache = cache_of(_settings_of(name, table, settings), plugins, tags, table.ttl)
    except SettingsError as error:
        raise SettingsError(f"namespaces.{name} (from {settings.origin('namespaces')}): {error}") from None
    for layer in cache.far_layers():
        if layer.name != "disk" and hasattr(layer.cache, "namespace"):  # what keys on a server begin with
            layer.cache.namespace = ".".join(filter(None, (layer.cache.namespace, name)))
    return cache


def _settings_of(name: str, table: Namespace, settings: Settings) -> Settings:
    """The settings with a namespace's own in their place; its file on disk is its own too."""
    layers = settings.layers if table.layers is None else table.layers
    file = settings.cache_file
    changes = {
        "layers": layers,
        "write_behind": [layer for layer in settings.write_behind if layer in layers],
        "disk_path": table.disk_path or str(file.with_name(f"{file.stem}-{name}{file.suffix}")),
        "memory_max_bytes": table.memory_max_bytes or settings.memory_max_bytes,
        "memory_max_entries": table.memory_max_entries or settings.memory_max_entries,
        "eviction_policy": table.eviction_policy or settings.eviction_policy,
        "adaptive_eviction": settings.adaptive_eviction and table.eviction_policy is None,
        "disk_max_bytes": table.disk_max_bytes or settings.disk_max_bytes,
    }
    return settings.replace(**changes)


def layers_of(settings: Settings, plugins: Plugins) -> list[tuple[str, BaseCache]]:
    """The cache's layers, the nearest first.

    :raises SettingsError: nobody registered a layer or the eviction policy.
    """
    return [(name, _layer(name, settings, plugins)) for name in settings.layers]


def _layer(name: str, settings: Settings, plugins: Plugins) -> BaseCache:
    if name == "disk":
        from perfmw.cache.disk import DiskLayer

        return DiskLayer(settings.cache_file, max_bytes=settings.disk_max_bytes)
    if name != "memory":
        if name == settings.distributed_layer and name not in plugins.cache_layers:
            raise SettingsError(_no_distributed_layer(name, settings))
        layer: BaseCache = plugins.choose("cache_layers", name, setting="layers")()
        return layer
    policy = plugins.choose("eviction_policies", settings.eviction_policy, setting="eviction_policy")
    del policy  # chosen by name below; here for its error
    return MemoryLayer(
        max_entries=settings.memory_max_entries,
        max_bytes=settings.memory_max_bytes,
        policy=settings.eviction_policy,
        policies=plugins.eviction_policies,
    )


def _no_distributed_layer(name: str, settings: Settings) -> str:
    strategy = settings.cache_strategy
    said = "layers" if strategy is None else f"cache_strategy = {strategy!r}"
    origin = settings.origin("layers" if strategy is None else "cache_strategy")
    how = (
        "set redis_url, such as redis://localhost:6379/0, or name a plugin's layer in distributed_layer"
        if name == "redis" and settings.redis_url is None
        else f"nobody registers it; distributed_layer (from {settings.origin('distributed_layer')}) names it"
    )
    return f"{said} (from {origin}) needs the layer {name!r}: {how}"


def codec_of(settings: Settings, plugins: Plugins) -> Chain | None:
    """What entries go through that leave the process; encryption that was asked for is never left out.

    :raises SettingsError: nobody registered a codec.
    """
    names = settings.codecs
    if names is None:
        names = ["zstd"] if "zstd" in plugins.codecs else []
        names += ["aes-256-gcm"] if settings.encryption_keys is not None else []
    return Chain([plugins.choose("codecs", name, setting="codecs") for name in names]) if names else None


def limits_of(settings: Settings, plugins: Plugins, layers: Sequence[FarLayer]) -> Limits | None:
    """The limits that the settings ask for; None where they ask for none.

    :param layers: what processes share, for quotas that are counted together.
    :raises SettingsError: a shared quota without such a layer.
    """
    if not settings.enabled or (settings.concurrency_limit == "off" and not settings.quotas):
        return None
    from perfmw.runtime.limits import Limits

    return Limits(settings, plugins, layers)


async def close_exporter(exporter: object) -> None:
    """Close an exporter that can be closed; what it raises is logged."""
    close = getattr(exporter, "aclose", None)
    if close is None:
        return
    try:
        await close()
    except Exception as error:
        log.warning("exporter %r did not close: %r", getattr(exporter, "name", exporter), error)
