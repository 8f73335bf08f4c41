"""What plugins register: the kinds there are, the registries they fill, and what is known of each plugin."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

BUILT_IN = "built-in"
INSTALLED = "installed"
ARGUMENT = "argument"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """Why ``plugin`` was left out, in a sentence."""

    plugin: str
    problem: str


@dataclass(slots=True)
class PluginInfo:
    """What is known of a plugin. ``origin``: built-in, installed, argument; ``registered``: kind -> names."""

    name: str
    origin: str
    distribution: str | None = None
    version: str | None = None
    active: bool = False
    hooks: list[str] = field(default_factory=list)
    registered: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        source = " ".join(part for part in (self.distribution, self.version) if part)
        return f"{self.name!r} ({source})" if source else repr(self.name)


class Registry(dict[str, _T], Generic[_T]):
    """What plugins named of one kind: name -> object; ``owners`` tells which plugin each came from."""

    def __init__(self, noun: str) -> None:
        super().__init__()
        self.noun = noun
        self.owners: dict[str, str] = {}


def _has(*names: str) -> Callable[[object], bool]:
    return lambda item: all(hasattr(item, name) for name in names)


def _is_exporter(item: object) -> bool:
    return _has("name", "export", "aclose")(item) or _has("name", "content_type", "render")(item)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing that plugins register: its hook, its noun, and what an item must be."""

    hook: str
    noun: str
    fits: Callable[[object], bool]
    wanted: str


KINDS: dict[str, Kind] = {
    "cache_layers": Kind("perfmw_register_cache_layers", "cache layer", callable, "a factory"),
    "eviction_policies": Kind(
        "perfmw_register_eviction_policies", "eviction policy", callable, "a factory that takes the capacity"
    ),
    "codecs": Kind("perfmw_register_codecs", "codec", _has("name", "encode", "decode"), "a Codec"),
    "optimizers": Kind(
        "perfmw_register_optimizers", "optimizer", _has("name", "propose", "apply", "revert"), "an Optimizer"
    ),
    "exporters": Kind("perfmw_register_exporters", "exporter", _is_exporter, "an Exporter or a TextExporter"),
    "resource_pools": Kind(
        "perfmw_register_resource_pools", "resource pool", _has("name", "sample"), "a ResourcePool"
    ),
    "alert_channels": Kind(
        "perfmw_register_alert_channels", "alert channel", _has("name", "send"), "an AlertChannel"
    ),
    "purgers": Kind("perfmw_register_purgers", "CDN", _has("name", "limits", "purge", "aclose"), "a Purger"),
    "panels": Kind(
        "perfmw_register_dashboard_panels",
        "dashboard panel",
        _has("id", "title", "columns", "rows"),
        "a DashboardPanel",
    ),
}
