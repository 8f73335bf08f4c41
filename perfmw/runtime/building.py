"""From names in the settings to layers and codecs, through what the plugins registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmw.cache.codecs import Chain
from perfmw.cache.memory import MemoryLayer
from perfmw.plugins import Plugins
from perfmw.settings import Settings

if TYPE_CHECKING:
    from aiocache.base import BaseCache


def layers_of(settings: Settings, plugins: Plugins) -> list[tuple[str, BaseCache]]:
    """The cache's layers, the nearest first.

    :raises SettingsError: nobody registered a layer or the eviction policy.
    """
    return [(name, _layer(name, settings, plugins)) for name in settings.layers]


def _layer(name: str, settings: Settings, plugins: Plugins) -> BaseCache:
    if name != "memory":
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


def codec_of(settings: Settings, plugins: Plugins) -> Chain | None:
    """What entries go through that leave the process; encryption that was asked for is never left out.

    :raises SettingsError: nobody registered a codec.
    """
    names = settings.codecs
    if names is None:
        names = ["zstd"] if "zstd" in plugins.codecs else []
        names += ["aes-256-gcm"] if settings.encryption_keys is not None else []
    return Chain([plugins.choose("codecs", name, setting="codecs") for name in names]) if names else None
