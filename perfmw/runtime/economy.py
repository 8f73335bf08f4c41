"""What the caches of a runtime cost and save, in money, at the prices of the settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmw.contracts import CacheLayerInfo
from perfmw.learning.cost import CacheEconomy, Prices, economy

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime
    from perfmw.settings import Settings


def prices_of(settings: Settings) -> Prices:
    """The prices that the settings name."""
    return Prices(
        settings.price_gb_hour, settings.price_cpu_hour, settings.price_origin_call, settings.currency
    )


def economy_of(runtime: Runtime, space: str, layers: Sequence[CacheLayerInfo], now: float) -> CacheEconomy:
    """Of the cache of one namespace since its start, as of unix time ``now``.

    What a hit saved is the time that the app took for what was hit, on the mean of the reads that were looked
    at; all of it counts as computing. What it costs is the memory held now, for all that time.
    """
    return economy(
        prices_of(runtime.settings),
        hits=sum(info.hits for info in layers if info.kind != "cdn") * runtime.caching.served_share(),
        held_bytes=sum(info.bytes or 0 for info in layers if info.kind == "memory"),
        seconds=max(0.0, now - runtime.caching.since),
        cpu_seconds=runtime.caching.seconds_of_a_miss(space),
    )
