"""What ``cache_strategy`` means, and which settings say different things together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfmw.settings.model import Settings

DEFAULT = "default"
FROM_STRATEGY = "cache_strategy"
"""The origin of ``layers`` where the strategy says what they are."""


def layers_of_strategy(settings: Settings, origins: Mapping[str, str]) -> tuple[str, ...]:
    """The layers of ``settings.cache_strategy``, nearest first.

    ``hybrid`` is memory before what else is configured: the distributed layer if it is, and the disk if a
    place for it is named or there is nothing else.
    """
    distributed = settings.distributed_layer
    if settings.cache_strategy != "hybrid":
        return {"memory": ("memory",), "disk": ("disk",)}.get(settings.cache_strategy or "", (distributed,))
    shared = settings.redis_url is not None or origins["distributed_layer"] != DEFAULT
    disk = settings.disk_path is not None or settings.state_dir is not None or not shared
    return ("memory", *(("disk",) if disk else ()), *((distributed,) if shared else ()))


def settle(settings: Settings, origins: dict[str, str]) -> list[str]:
    """Give ``layers`` the value that the strategy means; what is wrong with settings taken together."""
    problems = _switched(settings, origins)
    if settings.cache_strategy is not None:
        if origins["layers"] in (DEFAULT, FROM_STRATEGY):
            object.__setattr__(settings, "layers", layers_of_strategy(settings, origins))
            origins["layers"] = FROM_STRATEGY
            problems += _unused(settings, origins)
        else:
            problems.append(
                f"layers = {list(settings.layers)!r} (from {origins['layers']}) and cache_strategy = "
                f"{settings.cache_strategy!r} (from {origins['cache_strategy']}) both say where entries are "
                f"kept; leave out one of them"
            )
    if (
        settings.dashboard_read_token is not None
        and settings.dashboard_read_token == settings.dashboard_token
    ):
        problems.append("dashboard_read_token and dashboard_token are the same; give each role its own")
    for name in settings.write_behind:
        if name not in settings.layers or name == "memory":
            problems.append(
                f"write_behind = {list(settings.write_behind)!r} (from {origins['write_behind']}): "
                f"{name!r} is not among the layers beyond memory, which are: {_beyond(settings)}"
            )
    return problems


def _switched(settings: Settings, origins: dict[str, str]) -> list[str]:
    """What a switch means for other settings."""
    if settings.intelligent_prefetching and not settings.predictive_prefetching:
        object.__setattr__(settings, "predictive_prefetching", True)
        origins["predictive_prefetching"] = "intelligent_prefetching"
    if not settings.adaptive_eviction or settings.eviction_policy.startswith("adaptive"):
        return []
    if origins["eviction_policy"] == DEFAULT:
        object.__setattr__(settings, "eviction_policy", "adaptive")
        origins["eviction_policy"] = "adaptive_eviction"
        return []
    return [
        f"eviction_policy = {settings.eviction_policy!r} (from {origins['eviction_policy']}) and "
        f"adaptive_eviction = true (from {origins['adaptive_eviction']}) both say who leaves; leave out one"
    ]


def _unused(settings: Settings, origins: Mapping[str, str]) -> list[str]:
    """A place that was named for a layer which the strategy leaves out."""
    used = {*settings.layers, *(name for one in settings.namespaces.values() for name in one.layers or ())}
    wanted = {"disk_path": ("disk", "disk"), "redis_url": (settings.distributed_layer, "distributed")}
    return [
        f"{name} is set (from {origins[name]}), but cache_strategy = {settings.cache_strategy!r} "
        f"(from {origins['cache_strategy']}) uses no {kind} layer; make it 'hybrid' or {kind!r}, "
        f"or leave out {name}"
        for name, (layer, kind) in wanted.items()
        if getattr(settings, name) is not None and layer not in used
    ]


def _beyond(settings: Settings) -> str:
    return ", ".join(name for name in settings.layers if name != "memory") or "none"
