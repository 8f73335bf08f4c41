"""A cache strategy as settings: what ``create_cache_strategy`` found, put to work by configuration."""

from __future__ import annotations

from typing import Any

from perfmw.contracts import CacheStrategy


def settings_for(strategy: CacheStrategy, *, namespace: str | None = None) -> dict[str, Any]:
    """Keywords for ``Settings`` that build the layers a strategy means.

    Its size bounds memory, or the disk where it has no memory layer. ``compression_enabled`` chooses the
    codecs; what has to be encrypted needs ``encryption_keys`` beside, and building a runtime fails without.

    :param namespace: put size, policy and TTL into this namespace instead of the cache that all share.
    """
    chosen = strategy.configuration
    bound = "disk_max_bytes" if strategy.type == "disk" else "memory_max_bytes"
    table = {bound: chosen.max_size, "eviction_policy": chosen.eviction_policy}
    codecs = (["zstd"] if chosen.compression_enabled else []) + (
        ["aes-256-gcm"] if chosen.encryption_enabled else []
    )
    found: dict[str, Any] = {"cache_strategy": strategy.type}
    if chosen.encryption_enabled or not chosen.compression_enabled:
        found["codecs"] = codecs  # else it is what the settings choose by themselves
    if namespace is None:
        return found | table
    return found | {"namespaces": {namespace: {**table, "ttl": chosen.ttl}}}
