"""The built-ins, registered through the same hooks as a stranger's plugin.

Each hook imports its room when it is called, so that importing this module costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from perfmw.hookspecs import hookimpl
from perfmw.settings import SettingsError

if TYPE_CHECKING:
    from aiocache.base import BaseCache

    from perfmw.contracts import (
        AlertChannel,
        Codec,
        EvictionPolicyFactory,
        Exporter,
        Optimizer,
        Purger,
        ResourcePool,
        TextExporter,
    )
    from perfmw.settings import Settings

log = logging.getLogger("perfmw.exporters")


@hookimpl
def perfmw_register_cache_layers(settings: Settings) -> Mapping[str, Callable[[], BaseCache[Any]]]:
    from perfmw.cache import DiskLayer, MemoryLayer

    def memory() -> MemoryLayer:
        return MemoryLayer(max_entries=settings.memory_max_entries, max_bytes=settings.memory_max_bytes)

    def disk() -> DiskLayer:
        return DiskLayer(settings.cache_file, max_bytes=settings.disk_max_bytes)

    layers: dict[str, Callable[[], BaseCache[Any]]] = {"memory": memory, "disk": disk}
    if settings.redis_url is not None:
        layers["redis"] = partial(_redis, settings, settings.redis_url)
    return layers


def _redis(settings: Settings, url: str) -> BaseCache[Any]:
    """:raises SettingsError: without the library, or for a URL that it does not know."""
    try:
        from perfmw.cache.redis_layer import RedisLayer

        return RedisLayer(url, prefix=settings.redis_prefix, deadline=settings.layer_deadline)
    except ImportError as error:
        raise SettingsError(
            f"redis_url (from {settings.origin('redis_url')}) needs a library: {error}; install perfmw[redis]"
        ) from None
    except ValueError as error:  # without the URL, which may hold a password
        raise SettingsError(
            f"redis_url (from {settings.origin('redis_url')}) is no URL that redis knows, such as "
            f"redis://localhost:6379/0, rediss://… or unix://…: {type(error).__name__}"
        ) from None


@hookimpl
def perfmw_register_eviction_policies(settings: Settings) -> Mapping[str, EvictionPolicyFactory]:
    from perfmw.cache.eviction import POLICIES

    return POLICIES


@hookimpl
def perfmw_register_codecs(settings: Settings) -> Mapping[str, Codec]:
    from perfmw.cache.codecs import AEADCodec, ZstdCodec, read_keys, zstd_available

    codecs: dict[str, Codec] = {}
    if zstd_available():
        codecs[ZstdCodec.name] = ZstdCodec()
    if settings.encryption_keys is not None:
        keys = read_keys(settings.encryption_keys)
        try:
            for algorithm in ("aes-256-gcm", "chacha20-poly1305"):
                codecs[algorithm] = AEADCodec(keys, algorithm)
        except ModuleNotFoundError:
            origin = settings.origin("encryption_keys")
            raise SettingsError(
                f"encryption_keys (from {origin}) needs a library: pip install 'perfmw[encryption]'"
            ) from None
    return codecs


@hookimpl
def perfmw_register_optimizers(settings: Settings) -> Mapping[str, Optimizer]:
    from perfmw.optimization import (
        AdviceOptimizer,
        AllotmentOptimizer,
        CacheRouteOptimizer,
        ForecastOptimizer,
        MemoryLayerOptimizer,
        PoolSizeOptimizer,
        RuleTtlOptimizer,
        SwitchOptimizer,
    )

    level = settings.optimization_level
    made = (
        CacheRouteOptimizer(level),
        RuleTtlOptimizer(level),
        MemoryLayerOptimizer(level),
        PoolSizeOptimizer(),
        AllotmentOptimizer(),
        SwitchOptimizer(),
        AdviceOptimizer(followed=_followed(settings)),
        ForecastOptimizer(),
    )
    return {optimizer.name: optimizer for optimizer in made}


def _followed(settings: Settings) -> set[str]:
    """The types of advice that the settings follow already."""
    on = {
        "compression": settings.compress_responses != "off",
        "etag": settings.add_etag,
        "warm_up": bool(settings.warm_up),
        "concurrency": settings.concurrency_limit != "off",
    }
    return {kind for kind, followed in on.items() if followed}


@hookimpl
def perfmw_register_exporters(settings: Settings) -> Mapping[str, Exporter | TextExporter]:
    from perfmw.exporters import JsonExporter, PrometheusExporter, StatsdExporter

    prometheus = PrometheusExporter(settings.prometheus_histograms, settings.prometheus_native)
    exporters: dict[str, Exporter | TextExporter] = {prometheus.name: prometheus}
    if settings.snapshot_file is not None:
        exporters[JsonExporter.name] = JsonExporter(settings.snapshot_file)
    if settings.statsd_address is not None:
        host, _, port = settings.statsd_address.rpartition(":")
        exporters[StatsdExporter.name] = StatsdExporter(host or "127.0.0.1", int(port))
    if settings.otlp_endpoint is not None:
        try:
            from perfmw.exporters.otlp import OtlpExporter

            otlp = OtlpExporter(settings.otlp_endpoint, settings.otlp_protocol)
            exporters[OtlpExporter.name] = otlp
        except ImportError as error:
            log.warning("otlp_endpoint is set, but nothing is sent: %s; install perfmw[otlp]", error)
    return exporters


@hookimpl
def perfmw_register_purgers(settings: Settings) -> Mapping[str, Purger]:
    if settings.cdn is None or (settings.cdn.purge_url is None and settings.cdn.ban_url is None):
        return {}
    from perfmw.cache.purging import HttpPurger

    return {HttpPurger.name: HttpPurger(settings.cdn, settings.cdn_token)}


@hookimpl
def perfmw_register_resource_pools(settings: Settings) -> Mapping[str, ResourcePool]:
    from perfmw.resources import builtin_pools

    return builtin_pools(settings.disk_path or settings.state_dir or ".")


@hookimpl
def perfmw_register_alert_channels(settings: Settings) -> Mapping[str, AlertChannel]:
    from perfmw.exporters.alerts import OpenTelemetryChannel
    from perfmw.monitoring.channels import LogChannel, channels_of, check_times

    check_times(settings.monitoring)
    others = {"opentelemetry": OpenTelemetryChannel}
    return {"log": LogChannel(), **channels_of(settings.monitoring.channels, others)}
