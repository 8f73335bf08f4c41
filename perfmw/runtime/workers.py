"""The cache layers of all workers of a host as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from perfmw.contracts import CacheLayerInfo

_COUNTED = ("hits", "misses", "evictions", "errors")
_HELD = ("entries", "bytes", "max_entries", "max_bytes")


def layers_to_json(layers: Sequence[CacheLayerInfo]) -> bytes:
    """What a worker says of its layers."""
    return msgspec.json.encode(layers)


def merged_layers(own: Sequence[CacheLayerInfo], peers: Iterable[bytes]) -> list[CacheLayerInfo]:
    """The layers of this worker with the counts of all; what a memory layer holds is added up as well.

    What is not understood, such as that of another release, is left out.
    """
    merged = {layer.name: replace(layer) for layer in own}
    for said in peers:
        try:
            layers = msgspec.json.decode(said, type=list[CacheLayerInfo])
        except msgspec.DecodeError:
            continue
        for layer in layers:
            if layer.name in merged:
                _add(merged[layer.name], layer)
    return list(merged.values())


def _add(total: CacheLayerInfo, layer: CacheLayerInfo) -> None:
    names = (*_COUNTED, *_HELD) if total.kind == "memory" else _COUNTED
    for name in names:
        one, other = getattr(total, name), getattr(layer, name)
        setattr(total, name, None if one is None or other is None else one + other)
