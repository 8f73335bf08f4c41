"""Settings: what a user may choose, where each value came from, and clear errors for bad ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DashboardMode = Literal["off", "loopback", "token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRule:
    """Gives a TTL to matching responses that carry no freshness of their own.

    ``path``: ``*`` stays within a path segment, ``**`` crosses segments.
    ``ttl``: seconds; None matches without giving freshness (for ``shared`` or ``tags`` alone).
    ``methods``: GET covers HEAD. ``vary``: request header names that become part of the key.
    ``shared``: True says that Cookie and Authorization do not change the response.
    """

    path: str
    ttl: float | None = None
    tags: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET",)
    vary: tuple[str, ...] = ()
    shared: bool = False
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    enabled: bool = True
    cache_rules: tuple[CacheRule, ...] = ()
    rfc_strict: bool = False
    layers: tuple[str, ...] = ("memory",)
    memory_max_bytes: int = 64 * 1024 * 1024
    memory_max_entries: int | None = None
    eviction_policy: str = "lru"
    max_body_bytes: int = 8 * 1024 * 1024
    heuristic_fraction: float = 0.1
    heuristic_max: float = 86_400.0
    coalesce: bool = True
    coalesce_timeout: float = 10.0
    hit_for_miss_seconds: float = 2.0
    trust_forwarded_host: bool = False
    plugins: tuple[str, ...] | None = None
    max_profiles: int = 1_000
    apdex_t: float = 0.5
    sample_interval: float = 1.0
    trace_ratio: float = 0.0
    optimization_level: Literal["basic", "advanced", "aggressive"] = "basic"
    auto_optimization: bool = False
    dashboard: DashboardMode = "off"
    dashboard_path: str = "/_perfmw"
    dashboard_token: str | None = field(default=None, repr=False)
    state_dir: str | None = None
