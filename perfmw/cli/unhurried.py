"""Layers as commands use them: no visitor waits, and what a layer did not take is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfmw.cache.layers import FarLayer
    from perfmw.runtime import Runtime

PATIENCE = 10.0
"""Seconds that a layer has for an operation here, if it has no more by the setting ``layer_deadline``."""


def layers_of(runtime: Runtime) -> list[FarLayer]:
    """The layers beyond memory, each with time enough."""
    layers = [layer for cache in runtime.spaces.caches.values() for layer in cache.far_layers()]
    for layer in layers:
        layer.deadline = max(layer.deadline, PATIENCE)
    return layers


def losses(layers: list[FarLayer]) -> list[str]:
    """What did not reach a layer, in a sentence for each."""
    told = []
    for layer in layers:
        info = layer.info()
        lost = info.errors + info.skipped + info.dropped
        if lost:
            error = layer.last_error or getattr(getattr(layer.cache, "file", None), "last_error", "")
            told.append(f"layer {layer.name}: {lost:,} operations failed, the last with: {error}")
    return told
