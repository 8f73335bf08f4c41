"""The settings themselves: each field with its default, its kind and its sentence."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from perfmw.settings.cdn import Cdn, read_cdn
from perfmw.settings.kinds import (
    BOOL,
    BYTES,
    COUNT,
    HOSTS,
    POSITIVE_SECONDS,
    PRICE,
    SECONDS_OR_ZERO,
    SHARE,
    TOKEN,
    Kind,
    SettingsError,
    bounded,
    choice,
    complaint,
    option,
    optional,
    parse_size,
    read_keys,
    read_layers,
    read_mount_path,
    read_name,
    read_names,
    read_number,
    read_origin,
    read_path,
    read_secret,
    read_sources,
    read_text,
)
from perfmw.settings.limits import (
    CAPACITY,
    CONCURRENCY,
    PATTERNS,
    PRIORITY_TABLE,
    QUOTAS,
    RESOURCE_ALERTS,
    THRESHOLDS,
    Concurrency,
    PathTable,
    Quota,
    Thresholds,
)
from perfmw.settings.monitoring import MONITORING, Monitoring
from perfmw.settings.namespaces import Namespace, Tables, read_namespaces
from perfmw.settings.parts import MEMORY_PARTS, MemoryPart, MemoryParts
from perfmw.settings.rules import CacheRule, read_header_names, read_rules
from perfmw.settings.sources import first, from_env, from_files, unknown
from perfmw.settings.strategies import settle
from perfmw.settings.tables import REDACTED, plain

DashboardMode = Literal["off", "loopback", "token"]

_T = TypeVar("_T")


def _resolving(cls: type[_T]) -> type[_T]:
    """Make ``__init__`` look for what no keyword gave, while type checkers see the dataclass's own."""

    @functools.wraps(cls.__init__)
    def init(self: Settings, **keywords: Any) -> None:
        self._resolve(keywords, os.environ, Path.cwd())

    cls.__init__ = init  # type: ignore[assignment]
    return cls


@_resolving
@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a runtime, immutable and validated. Raises SettingsError.

    ``Settings(name=value, ...)`` resolves the other fields from the process's environment and working
    directory; ``Settings.load(env=..., cwd=...)`` from those given.
    """

    enabled: bool = option(True, BOOL, "Whether perfmw does anything; false passes every request through.")
    cache_rules: Sequence[CacheRule] = option(
        (),
        Kind("a list of cache rules (in the environment: as JSON)", read_rules),
        "Rules that give a TTL, tags or variants to responses without freshness of their own.",
    )
    rfc_strict: bool = option(
        False, BOOL, "Whether RFC 9111 alone decides, without the guards for Cookie and Set-Cookie."
    )
    layers: Sequence[str] = option(
        ("memory",),
        Kind("a list of layer names, at least one", read_layers),
        "The cache layers, nearest first.",
    )
    cache_strategy: Literal["memory", "disk", "distributed", "hybrid"] | None = option(
        None,
        optional(choice("memory", "disk", "distributed", "hybrid"), "`layers` says it"),
        "Where entries are kept, in one word in place of `layers`; hybrid is memory before the others.",
    )
    distributed_layer: str = option(
        "redis",
        Kind("the name of a layer", read_name),
        "The layer that `cache_strategy` calls distributed.",
    )
    redis_url: str | None = option(
        None,
        optional(Kind("a URL such as redis://localhost:6379/0", read_text), "there is no layer `redis`"),
        "The server of the layer `redis`: Redis, Valkey or what speaks like them (needs the extra `redis`).",
        secret=True,
    )
    redis_prefix: str = option(
        "perfmw", Kind("a text", read_text), "What the keys on that server begin with, before a colon."
    )
    layer_deadline: float = option(
        0.25,
        POSITIVE_SECONDS,
        "How long, in seconds, one operation of a layer beyond memory may take before it counts as failed.",
    )
    write_behind: Sequence[str] = option(
        (),
        Kind("a list of layer names", read_names),
        "The layers beyond memory whose writes wait in a queue instead of making requests wait.",
    )
    write_behind_max_entries: int = option(10_000, COUNT, "The most writes that such a queue holds.")
    write_behind_max_bytes: int = option(
        64 * 1024 * 1024,
        bounded(parse_size, f"{BYTES}, at least 1", 1),
        "The most bytes that it holds; what finds no room is not written, and counted.",
    )
    write_behind_flush: float = option(
        5.0, SECONDS_OR_ZERO, "How long, in seconds, such a queue has at shutdown to be written."
    )
    sync_interval: float = option(
        1.0,
        POSITIVE_SECONDS,
        "How often, in seconds, to ask shared layers for what other processes invalidated, so that it leaves "
        "memory here too.",
    )
    namespaces: Mapping[str, Namespace] = option(
        Tables(),
        Kind("tables by name (in the environment: as JSON)", read_namespaces),
        "Parts of the cache with layers and bounds of their own, for `@cached(namespace=...)` and for pages.",
    )
    cdn: Cdn | None = option(
        None,
        optional(Kind("a table (in the environment: as JSON)", read_cdn), "there is none to tell anything"),
        "The CDN before the app: what its fields are, and where it is told of invalidations.",
    )
    cdn_token: str | None = option(
        None,
        optional(Kind("a text of printable ASCII characters", read_secret), "purges carry none"),
        "The token that the CDN's purge interface wants.",
        secret=True,
    )
    memory_max_bytes: int = option(
        64 * 1024 * 1024,
        bounded(parse_size, f"{BYTES}, at least 1", 1),
        "The bound of the memory layer in bytes, keys and overhead counted.",
    )
    memory_max_entries: int | None = option(
        None,
        optional(COUNT, "bounded by bytes alone"),
        "The bound of the memory layer in entries, besides the one in bytes.",
    )
    eviction_policy: str = option(
        "lru", Kind("the name of an eviction policy", read_name), "Who leaves a full memory layer."
    )
    adaptive_eviction: bool = option(
        False, BOOL, "Whether that is whoever does best just now: the policy `adaptive`."
    )
    codecs: Sequence[str] | None = option(
        None,
        optional(Kind("a list of codec names", read_names), "zstd, where a library for it is installed"),
        "What entries go through before they leave memory, in order: compression, then encryption.",
    )
    encryption_keys: Sequence[str] | None = option(
        None,
        optional(Kind("a list of id:key, each key 32 bytes as base64", read_keys), "no encryption"),
        "The keys of the codecs `aes-256-gcm` and `chacha20-poly1305`: the first encrypts, all decrypt.",
        secret=True,
    )
    disk_path: str | None = option(
        None,
        optional(
            Kind("the path of a file", read_path),
            "cache.sqlite3 in state_dir, or in .perfmw of the directory",
        ),
        "The file of the disk layer, shared by the processes of a host.",
    )
    disk_max_bytes: int = option(
        1024**3,
        bounded(parse_size, f"{BYTES}, at least 1MiB", 1024**2),
        "The bound of the disk layer in bytes.",
    )
    max_body_bytes: int = option(
        8 * 1024 * 1024,
        bounded(parse_size, f"{BYTES}, 0 or more", 0),
        "The largest response body that is stored.",
    )
    compress_responses: Literal["off", "shared", "all"] = option(
        "off",
        choice("off", "shared", "all"),
        "Whether stored responses are compressed by zstd where it pays, and sent so to clients that take it: "
        "`shared` leaves out those that vary on Cookie or Authorization (needs the extra `compression`).",
    )
    compress_min_bytes: int = option(
        1024,
        bounded(parse_size, f"{BYTES}, at least 1", 1),
        "The smallest response body that is compressed.",
    )
    heuristic_fraction: float = option(
        0.1, SHARE, "The share of its age since Last-Modified that a response without freshness stays fresh."
    )
    heuristic_max: float = option(86_400.0, SECONDS_OR_ZERO, "The longest heuristic freshness, in seconds.")
    stale_grace: float = option(
        60.0,
        SECONDS_OR_ZERO,
        "How long after its freshness, in seconds, a response may stand in for an app that fails, where the "
        "response does not forbid it.",
    )
    allow_set_cookie: bool = option(
        False, BOOL, "Whether responses with Set-Cookie are stored, and their cookies given to everyone."
    )
    add_etag: bool = option(
        False, BOOL, "Whether stored responses without a validator get an ETag, made of their content."
    )
    targets: Sequence[str] = option(
        ("cdn-cache-control", "surrogate-control"),
        Kind("a list of header names", read_header_names),
        "Fields that take the place of Cache-Control here (RFC 9213), the first that parses; "
        "Perfmw-Cache-Control goes before them all.",
    )
    coalesce: bool = option(True, BOOL, "Whether concurrent misses of one URL share one call of the app.")
    coalesce_timeout: float = option(
        10.0,
        SECONDS_OR_ZERO,
        "How long, in seconds, a request waits for another's call before it makes its own.",
    )
    hit_for_miss_seconds: float = option(
        1.0,
        SECONDS_OR_ZERO,
        "How long, in seconds, requests for a URL found uncacheable do not wait for each other.",
    )
    trust_forwarded_host: bool = option(
        False,
        BOOL,
        "Whether X-Forwarded-Host and its like come from a proxy you run and need not be keyed on.",
    )
    warm_up: Sequence[str] = option(
        (),
        Kind("a list of hottest, sitemap:/path, openapi:/path and urls:FILE", read_sources),
        "What is asked for once the app has started, so that the cache has it: the keys read most before the "
        "restart, the pages of a sitemap, what an OpenAPI document describes, the URLs in a file.",
    )
    warm_up_origin: str | None = option(
        None,
        optional(Kind("an origin such as https://shop.example", read_origin), "that of the hottest keys"),
        "The scheme and host under which visitors see the site, for URLs to warm up.",
    )
    warm_up_limit: int = option(1_000, COUNT, "How many URLs a warm-up at start asks for at most.")
    warm_up_rate: float = option(
        50.0,
        bounded(read_number, "a number above 0", 0, above=True),
        "How many URLs a second a warm-up at start asks for at most.",
    )
    plugins: Sequence[str] | None = option(
        None,
        optional(Kind("a list of plugin names, [] for no plugin", read_names), "every installed plugin"),
        "The installed plugins that may load; built-ins and plugins passed in code always do.",
    )
    max_profiles: int = option(1_000, COUNT, "How many targets are profiled; further ones share one profile.")
    apdex_t: float = option(
        0.5, POSITIVE_SECONDS, "The response time, in seconds, that satisfies users (Apdex T)."
    )
    sample_interval: float = option(
        1.0, POSITIVE_SECONDS, "How often, in seconds, resource pools are sampled."
    )
    export_interval: float = option(
        60.0, POSITIVE_SECONDS, "How often, in seconds, exporters are given a snapshot."
    )
    snapshot_file: str | None = option(
        None,
        optional(Kind("the path of a file", read_path), "no file"),
        "A file to which every snapshot is appended as a line of JSON.",
    )
    prometheus_histograms: bool = option(
        False, BOOL, "Whether durations are told to Prometheus as histograms instead of quantiles."
    )
    prometheus_native: bool = option(
        False, BOOL, "Whether a Prometheus that takes native histograms is told durations as such."
    )
    otlp_endpoint: str | None = option(
        None,
        optional(Kind("a URL such as http://localhost:4318", read_text), "nothing is sent"),
        "Where metrics and spans are sent by OpenTelemetry's protocol (needs the extra `otlp`).",
    )
    otlp_protocol: Literal["http", "grpc"] = option(
        "http", choice("http", "grpc"), "How they are sent: protobuf over HTTP, or gRPC."
    )
    statsd_address: str | None = option(
        None,
        optional(Kind("a host and port such as 127.0.0.1:8125", read_text), "nothing is sent"),
        "Where figures are sent in StatsD's format, over UDP.",
    )
    vitals_path: str | None = option(
        None,
        optional(Kind('a path that starts with "/" and is longer', read_mount_path), "there is none"),
        "Where browsers tell their Web Vitals, and get the script for it with `.js` behind.",
    )
    trace_ratio: float = option(0.0, SHARE, "The share of requests for which perfmw opens a span of its own.")
    trace_slow: float | None = option(
        None,
        optional(POSITIVE_SECONDS, "four times `apdex_t`"),
        "The time, in seconds, from which a request gets a span though not sampled, as failed ones do.",
    )
    trace_with: Literal["perfmw", "opentelemetry"] = option(
        "perfmw",
        choice("perfmw", "opentelemetry"),
        "Who makes the spans of sampled requests: perfmw, or opentelemetry-instrumentation-asgi.",
    )
    monitoring: Monitoring = option(
        Monitoring(), MONITORING, "What is watched, who is told of alerts, when reports come.", secret=True
    )
    optimization_level: Literal["basic", "advanced", "aggressive"] = option(
        "basic", choice("basic", "advanced", "aggressive"), "How much risk an optimization may take."
    )
    optimizations_enabled: bool = option(
        True, BOOL, "Whether anything is optimized; false at start undoes every optimization that was kept."
    )
    auto_optimization: bool = option(
        False,
        BOOL,
        "Whether optimizations are tried without being asked for; each is measured, and kept or undone.",
    )
    dynamic_ttl: bool = option(
        False,
        BOOL,
        "Whether rules with `max_stale` learn how long each URL's responses may be served.",
    )
    predictive_prefetching: bool = option(
        False,
        BOOL,
        "Whether what will probably be asked for next is fetched before, while there is nothing else to do.",
    )
    intelligent_prefetching: bool = option(False, BOOL, "The same as `predictive_prefetching`.")
    auto_tuning: bool = option(
        False,
        BOOL,
        "Whether memory that hardly gives a hit is given back, and taken again when it does, and parts are "
        "made of it where they pay. With `usage_pattern_learning` alone that is advice in the ledger.",
    )
    price_gb_hour: float = option(0.005, PRICE, "What a GiB of memory costs for an hour.")
    price_cpu_hour: float = option(0.04, PRICE, "What a core costs for an hour.")
    price_origin_call: float = option(0.0, PRICE, "What a call of an origin costs beside computing.")
    memory_parts: Mapping[str, MemoryPart] = option(
        MemoryParts(),
        MEMORY_PARTS,
        "Floors, caps and weights of kinds of values, should `auto_tuning` find that parts of memory pay.",
    )
    currency: str = option("USD", Kind("a text", read_text), "What these prices are in.")
    usage_pattern_learning: bool = option(
        False,
        BOOL,
        "Whether it is learned how the cache is used: what is hot, when, and whether it is scanned.",
    )
    concurrency_limit: Literal["off", "observe", "on"] = option(
        "off",
        choice("off", "observe", "on"),
        "Whether requests that could not be served in time are refused (503); `observe` only counts them.",
    )
    concurrency: Concurrency = option(
        Concurrency(), CONCURRENCY, "The bounds of that limit, which finds itself, and groups of paths."
    )
    request_priorities: Mapping[str, str] = option(
        PathTable(), PRIORITY_TABLE, "Which paths go before others, or after them, in an overload."
    )
    limits_exempt: Sequence[str] = option(
        ("/health", "/healthz", "/livez", "/readyz"), PATTERNS, "Paths that are never refused."
    )
    quotas: Sequence[Quota] = option((), QUOTAS, "How much may come in a time, or at once, and from whom.")
    principal_headers: Sequence[str] = option(
        ("authorization", "x-api-key"),
        Kind("a list of header names", read_header_names),
        "Request fields that tell users apart for quotas, the first that is there; else the address does.",
    )
    max_principals: int = option(10_000, COUNT, "How many users each quota keeps apart at most.")
    memory_limit: float = option(
        0.9, SHARE, "From which share of the memory there is on caches in memory give some back; 0: never."
    )
    resource_alerts: Mapping[str, float] = option(
        Thresholds(RESOURCE_ALERTS), THRESHOLDS, "From which use of resources on alerts are raised; 0: never."
    )
    forecast_capacity: float | None = option(
        None,
        CAPACITY,
        "How many requests a second one worker serves comfortably, for advice on how many are needed.",
    )
    dashboard: DashboardMode = option(
        "off",
        choice("off", "loopback", "token"),
        "Who sees the dashboard: nobody, requests from this host, or whoever has the token.",
    )
    dashboard_path: str = option(
        "/_perfmw",
        Kind('a path that starts with "/" and is longer', read_mount_path),
        "Where the dashboard and the metrics are.",
    )
    dashboard_token: str | None = option(
        None, TOKEN, "The token to operate the dashboard, or its hash; none: a random one.", secret=True
    )
    dashboard_read_token: str | None = option(
        None, TOKEN, "A token, or its hash, to look at the dashboard and change nothing.", secret=True
    )
    dashboard_hosts: tuple[str, ...] = option(
        (), HOSTS, "The hosts, such as ops.example.org, under which the dashboard answers; none: all."
    )
    dashboard_trust_proxy: bool = option(
        False,
        BOOL,
        "Whether X-Forwarded-Prefix, -Host, -Proto and -For of the dashboard are your proxy's.",
    )
    fleet_interval: float = option(
        15.0, SECONDS_OR_ZERO, "How often hosts that share a layer tell each other what they count; 0: never."
    )
    state_dir: str | None = option(
        None,
        optional(Kind("the path of a directory", read_path), "memory only"),
        "Where what must survive a restart is kept.",
    )

    @property
    def cache_file(self) -> Path:
        """Where the disk layer keeps its entries."""
        return Path(self.disk_path or Path(self.state_dir or ".perfmw") / "cache.sqlite3")

    @classmethod
    def load(
        cls, *, env: Mapping[str, str] | None = None, cwd: str | Path | None = None, **keywords: Any
    ) -> Self:
        """Resolve from ``env`` and ``cwd`` instead of the process's own. Raises SettingsError."""
        self = object.__new__(cls)
        self._resolve(keywords, os.environ if env is None else env, Path(cwd) if cwd else Path.cwd())
        return self

    def origin(self, name: str) -> str:
        """Where a value came from, such as ``env PERFMW_LAYERS`` or ``default``. Raises KeyError."""
        return self._origins[name]

    def replace(self, **changes: Any) -> Self:
        """A copy with some values changed; the others keep their origins. Raises SettingsError."""
        if "layers" in changes:  # which a strategy would contradict
            changes.setdefault("cache_strategy", None)
        layers = [({name: getattr(self, name) for name in options()}, "")]
        new = object.__new__(type(self))
        new._adopt([(changes, "keyword"), *layers], self._origins)
        return new

    def to_dict(self, *, redact: bool = True) -> dict[str, Any]:
        """The values as JSON knows them; secrets are replaced by asterisks unless ``redact`` is False."""
        return {name: plain(getattr(self, name), redact and _is_secret(name)) for name in options()}

    def _resolve(self, keywords: Mapping[str, Any], env: Mapping[str, str], cwd: Path) -> None:
        self._adopt([(keywords, "keyword"), (from_env(env, options()), "env"), *from_files(cwd)], {})

    def _adopt(
        self, sources: Sequence[tuple[Mapping[str, Any], str]], known_origins: Mapping[str, str]
    ) -> None:
        problems = [problem for values, origin in sources for problem in unknown(values, origin, options())]
        origins = {}
        for name, known in options().items():
            value, origin = first(name, known.default, sources)
            origins[name] = origin or known_origins[name]
            try:
                object.__setattr__(self, name, known.metadata["kind"].convert(value))
            except ValueError as error:
                shown = REDACTED if _is_secret(name) else value
                problems.append(complaint(name, shown, origin, known.metadata["kind"], error))
        object.__setattr__(self, "_origins", origins)
        if problems := problems or settle(self, origins):
            raise SettingsError("\n".join(problems))

    _origins: Mapping[str, str] = field(init=False, repr=False, compare=False)


@functools.cache
def options() -> dict[str, Any]:
    """The dataclass fields that are settings, by name; the reference is made from them."""
    return {one.name: one for one in fields(Settings) if "kind" in one.metadata}


def _is_secret(name: str) -> bool:
    return bool(options()[name].metadata["secret"])
