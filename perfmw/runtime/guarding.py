"""Before something runs out: caches give memory back, and alerts say what is short."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from perfmw.cache.memory import MemoryLayer
from perfmw.contracts import PoolSample, ResourceUsageMetrics
from perfmw.monitoring.degradation import Finding
from perfmw.resources.watermarks import Watermark

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime

log = logging.getLogger("perfmw.runtime")

_AVERAGED = 300.0
"""Seconds over which the use of the CPU is averaged before it is called too much."""
_MOST = 1000
_GIB = 1024**3


class _Bounds:
    """Those of a layer before it was made smaller, and what it held then.

    A bound may be far above what there is memory for: half of it would give nothing back.
    """

    def __init__(self, layer: MemoryLayer) -> None:
        self._layer = layer
        self._most = layer.max_entries, layer.max_bytes
        self._held = len(layer), layer.bytes

    def give(self, share: float) -> None:
        """Let it have that share of what it held; at 1 its bounds are what they were."""
        entries, size = (
            bound if bound is None or share == 1.0 else max(1, int(min(bound, held or 0) * share))
            for bound, held in zip(self._most, self._held, strict=True)
        )
        self._layer.resize(max_entries=entries, max_bytes=size)


class Guard:
    """Watches what this process may run out of. One step a round; memory is bounded."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        high = runtime.settings.memory_limit
        self._mark = Watermark(high) if high else None
        self._bounds: dict[int, _Bounds] = {}
        self._cpu: deque[tuple[float, float]] = deque(maxlen=_MOST)
        self._began: float | None = None
        self._pools: Sequence[PoolSample] = ()
        self._used = ResourceUsageMetrics()

    @property
    def share(self) -> float:
        """Of their bounds, what caches in memory may use at the moment."""
        return self._mark.share if self._mark is not None else 1.0

    def tick(self, now: float, pools: Sequence[PoolSample], used: ResourceUsageMetrics) -> None:
        """Look at a round's samples, and shrink the caches if memory is short."""
        self._pools, self._used = pools, used
        self._began = now if self._began is None else self._began
        if (busy := self._utilization("cpu")) is not None:
            self._cpu.append((now, busy))
        while self._cpu and self._cpu[0][0] < now - _AVERAGED:
            self._cpu.popleft()
        memory = self._utilization("memory")
        if self._mark is not None and memory is not None and self._mark.update(memory, now):
            self._resize(self._mark.share, memory)

    def _utilization(self, name: str) -> float | None:
        return next((pool.utilization for pool in self._pools if pool.name == name), None)

    def _resize(self, share: float, used: float) -> None:
        if share == 1.0 or used >= self._runtime.settings.memory_limit:
            log.warning(
                "%.0f%% of the memory there is are used: caches may use %.0f%%", 100 * used, 100 * share
            )
        for layer in self._layers():
            self._bounds.setdefault(id(layer), _Bounds(layer)).give(share)
        if share == 1.0:
            self._bounds.clear()  # what somebody makes of the bounds from now on holds
        else:
            _trim()

    def _layers(self) -> Iterator[MemoryLayer]:
        for cache in self._runtime.spaces.caches.values():
            if cache.memory is not None:
                yield cache.memory

    def findings(self, now: float) -> list[Finding]:
        """What is short, for alerts."""
        limits = self._runtime.settings.resource_alerts
        checks = (
            self._memory(limits.get("memory_bytes", 0.0)),
            self._busy(now, limits.get("cpu", 0.0)),
            self._full("storage", limits.get("storage", 0.0), "of the disk"),
            self._full("descriptors", limits.get("descriptors", 0.0), "of the file descriptors"),
        )
        return [found for found in checks if found is not None]

    def _memory(self, most: float) -> Finding | None:
        used = self._used.memory_bytes
        if not most or used is None or used < most:
            return None
        message = f"the process uses {used / _GIB:.2f} GiB of memory, more than {most / _GIB:.2f} GiB"
        return _finding("memory", message, {"memory_bytes": used, "limit": most}, used >= 1.5 * most)

    def _busy(self, now: float, most: float) -> Finding | None:
        if not most or not self._cpu or self._began is None or now - self._began < _AVERAGED:
            return None
        mean = sum(busy for _, busy in self._cpu) / len(self._cpu)
        if mean < most:
            return None
        message = f"{mean:.0%} of the CPU are used on average over 5 minutes, more than {most:.0%}"
        return _finding("cpu", message, {"cpu": mean, "limit": most}, mean >= 0.95)

    def _full(self, name: str, most: float, what: str) -> Finding | None:
        used = self._utilization(name)
        if not most or used is None or used < most:
            return None
        message = f"{used:.0%} {what} are used, more than {most:.0%}"
        return _finding(name, message, {name: used, "limit": most}, used >= 0.97)


def _finding(name: str, message: str, details: dict[str, float], grave: bool) -> Finding:
    return Finding(f"resources:{name}", "resources", "high" if grave else "medium", message, name, details)


def _trim() -> None:
    """Have glibc hand freed memory back: what it keeps for later counts as used by this process."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
