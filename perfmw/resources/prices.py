"""What pools cost an hour, by the prices of the settings. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from perfmw.contracts.resources import PoolSample

_GIB: Final = 1024**3


@dataclass(frozen=True, slots=True)
class ResourcePrices:
    """In any one currency: a GiB of memory and a core for an hour, and a call of the origin."""

    gb_hour: float = 0.0
    cpu_hour: float = 0.0
    origin_call: float = 0.0


def hourly_costs(samples: Iterable[PoolSample], prices: ResourcePrices) -> dict[str, float]:
    """What the capacity of memory and of the processor costs an hour; other pools have no price."""
    each = {"memory": prices.gb_hour / _GIB, "cpu": prices.cpu_hour}
    return {
        one.name: one.capacity * each[one.name]
        for one in samples
        if one.name in each and one.capacity is not None
    }


def worth_of(
    prices: ResourcePrices, *, cpu_seconds: float, origin_calls: float, memory_bytes: float
) -> float:
    """Money an hour, for what is spared in an hour less the memory that takes."""
    spared = cpu_seconds / 3600.0 * prices.cpu_hour + origin_calls * prices.origin_call
    return spared - memory_bytes / _GIB * prices.gb_hour
