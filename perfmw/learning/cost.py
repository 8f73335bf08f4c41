"""What caching costs and saves, in money: memory held against computing and origin calls spared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

_GIB, _MIB, _KIB, _HOUR = 2**30, 2**20, 2**10, 3600.0

Curve = Callable[[Iterable[int]], list[float]]
"""Hit ratios (0..1) by sizes, as ``MissRatioCurve.curve`` or ``ByteCurve.curve``."""


@dataclass(frozen=True, slots=True)
class Prices:
    """In any one currency; the defaults are about those of rented servers.

    :param gb_hour: a GiB of memory for an hour.
    :param cpu_hour: a core for an hour.
    :param origin_call: a call of an origin that charges by the call.
    :param currency: what they are in, for people.
    :raises ValueError: for a price below 0.
    """

    gb_hour: float = 0.005
    cpu_hour: float = 0.04
    origin_call: float = 0.0
    currency: str = ""

    def __post_init__(self) -> None:
        if min(self.gb_hour, self.cpu_hour, self.origin_call) < 0:
            raise ValueError("prices must not be below 0")

    def memory(self, held_bytes: float, seconds: float) -> float:
        """What holding so many bytes for so long costs."""
        return held_bytes / _GIB * seconds / _HOUR * self.gb_hour

    def misses(self, count: float, cpu_seconds: float = 0.0) -> float:
        """What so many misses cost that take ``cpu_seconds`` of computing each."""
        return count * (self.origin_call + cpu_seconds / _HOUR * self.cpu_hour)


@dataclass(frozen=True, slots=True)
class CacheEconomy:
    """How well memory is spent. ``saved`` and ``spent`` are money, for the time that was looked at."""

    hits: float
    held_bytes: float
    saved: float
    spent: float
    currency: str = ""

    @property
    def memory_efficiency(self) -> float:
        """Hits per MiB held."""
        return self.hits / (self.held_bytes / _MIB) if self.held_bytes else 0.0

    @property
    def cost_efficiency(self) -> float | None:
        """Money saved per money spent; None where nothing was spent."""
        return self.saved / self.spent if self.spent else None

    def in_words(self) -> str:
        """One sentence for people."""
        spent, saved = (f"{one:,.4f} {self.currency}".strip() for one in (self.spent, self.saved))
        each = f"{self.memory_efficiency:,.0f} for each MiB held"
        return f"{self.hits:,.0f} hits, {each}; memory cost {spent} and spared {saved}."


def economy(
    prices: Prices, *, hits: float, held_bytes: float, seconds: float, cpu_seconds: float = 0.0
) -> CacheEconomy:
    """What ``hits`` in ``seconds`` were worth, of values that each took ``cpu_seconds`` to compute."""
    saved, spent = prices.misses(hits, cpu_seconds), prices.memory(held_bytes, seconds)
    return CacheEconomy(hits, held_bytes, saved, spent, prices.currency)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What another size would change, an hour. Positive is better, but for ``memory_cost``."""

    size: int
    new_size: int
    hits: float
    seconds_saved: float
    money_saved: float
    memory_cost: float
    currency: str = ""

    @property
    def worth(self) -> float:
        """Money saved less the money for memory, an hour."""
        return self.money_saved - self.memory_cost

    def in_words(self, unit: str = "entries") -> str:
        """One sentence for people; ``bytes`` are told as KiB or MiB."""
        money = f"{self.worth:+.4f} {self.currency}"
        digits, part, name = (0, 1, unit)
        if unit == "bytes":
            digits, part, name = (
                (1, _MIB, "MiB") if min(self.size, self.new_size) >= _MIB else (1, _KIB, "KiB")
            )
        return (
            f"{self.new_size / part:,.{digits}f} instead of {self.size / part:,.{digits}f} {name} would give"
            f" {self.hits:+,.0f} hits and spare {self.seconds_saved * 1e3:+,.0f} ms an hour;"
            f" worth {money.strip()} an hour"
        )


def what_if(
    curve: Curve,
    size: int,
    *,
    factor: float = 2.0,
    reads_an_hour: float,
    miss_seconds: float = 0.0,
    cpu_seconds: float | None = None,
    entry_bytes: float = 1.0,
    prices: Prices | None = None,
) -> WhatIf:
    """What ``factor`` times the memory would give.

    :param size: now, in the curve's unit.
    :param miss_seconds: how much longer a miss takes than a hit.
    :param cpu_seconds: computing that a miss takes; by default all of ``miss_seconds``.
    :param entry_bytes: bytes of an entry, for a curve over entries; 1 for a curve over bytes.
    :raises ValueError: for a size or a factor that is not above 0.
    """
    if size <= 0 or factor <= 0:
        raise ValueError("size and factor must be above 0")
    prices = prices or Prices()
    new = max(1, round(size * factor))
    before, after = curve([size, new])
    hits = (after - before) * reads_an_hour
    cpu = miss_seconds if cpu_seconds is None else cpu_seconds
    memory = prices.memory((new - size) * entry_bytes, _HOUR)
    return WhatIf(size, new, hits, hits * miss_seconds, prices.misses(hits, cpu), memory, prices.currency)
