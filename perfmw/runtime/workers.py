"""What the workers of a host tell each other beside the profiles: their cache layers and their health."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from perfmw.cache.functions.callspec import FunctionInfo
from perfmw.contracts import CacheLayerInfo, ProcessHealth
from perfmw.profiles.sketch import SketchState

_COUNTED = (
    *("hits", "misses", "evictions", "errors", "fills", "hit_bytes"),
    *("expirations", "invalidations", "replacements", "refusals", "skipped"),
)
_HELD = ("entries", "bytes", "max_entries", "max_bytes")


class CachesSaid(msgspec.Struct):
    """``reads``: the sketch of each layer's reads, as its state; waiting callers; cached functions."""

    reads: dict[str, SketchState]
    functions: list[FunctionInfo]
    coalesced: int
    timeouts: int


class Said(msgspec.Struct):
    """What a worker says of itself."""

    layers: list[CacheLayerInfo]
    process: ProcessHealth
    caches: CachesSaid | None = None


def heard(peers: Iterable[bytes]) -> list[Said]:
    """What the other workers say; what is not understood, such as that of another release, is left out."""
    found = []
    for said in peers:
        try:
            found.append(msgspec.json.decode(said, type=Said))
        except msgspec.DecodeError:
            continue
    return found


def merged_layers(own: Sequence[CacheLayerInfo], others: Iterable[Said]) -> list[CacheLayerInfo]:
    """The layers of this worker with the counts of all; what a memory layer holds is added up as well."""
    merged = {layer.name: replace(layer) for layer in own}
    for said in others:
        for layer in said.layers:
            if layer.name in merged:
                _add(merged[layer.name], layer)
    return list(merged.values())


def _add(total: CacheLayerInfo, layer: CacheLayerInfo) -> None:
    names = (*_COUNTED, *_HELD) if total.kind == "memory" else _COUNTED
    for name in names:
        one, other = getattr(total, name), getattr(layer, name)
        setattr(total, name, None if one is None or other is None else one + other)
