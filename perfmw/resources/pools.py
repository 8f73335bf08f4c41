"""The built-in pools: what this process can run out of, read through psutil.

A pool's capacity is what is there for this process: the control group's limit where one holds, else the
host's. Rates are taken between two samples, so the first sample of a rate is zero.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from perfmw.contracts.protocols import ResourcePool
from perfmw.contracts.resources import PoolSample
from perfmw.resources.cgroups import Cgroup
from perfmw.resources.descriptors import DescriptorPool
from perfmw.resources.eventloop import EventLoopPool
from perfmw.resources.threads import AnyioPool, ExecutorPool

_LINK_INTERVAL: Final = 60.0
"""Link speeds hardly change, and asking costs a system call a device."""


def _share(used: float, capacity: float | None) -> float | None:
    return min(1.0, max(0.0, used / capacity)) if capacity else None


class _Rate:
    """Growth of a counter per second between two readings."""

    __slots__ = ("_at", "_value")

    def __init__(self) -> None:
        self._at: float | None = None
        self._value = 0.0

    def update(self, value: float, now: float) -> float:
        """Per second since the last call; 0.0 at the first, and when the counter was reset."""
        before, at = self._value, self._at
        self._value, self._at = value, now
        if at is None or now <= at or value < before:
            return 0.0
        return (value - before) / (now - at)


class CpuPool:
    """Busy cores, of the control group if it is limited, else of those that this process may run on.

    ``saturation``: runnable work beyond the capacity, from the one-minute load average of the host, as a
    share of the load; None where the system has no load average.
    """

    name = "cpu"

    def __init__(self, cgroup: Cgroup | None = None) -> None:
        self._cgroup = cgroup or Cgroup()
        usable = _usable_cores()
        self._cores = float(len(usable) or os.cpu_count() or 1)
        self._usable = usable if len(usable) < (os.cpu_count() or 1) else frozenset()
        limit = self._cgroup.cpu_cores
        self._limited = limit is not None and limit < self._cores and self._cgroup.cpu_seconds() is not None
        self._capacity = min(limit, self._cores) if limit else self._cores
        self._busy = _Rate()

    def sample(self, now: float) -> PoolSample:
        used = self._busy.update(self._busy_seconds(), now)
        return PoolSample(
            name=self.name,
            unit="cores",
            capacity=self._capacity,
            used=used,
            utilization=_share(used, self._capacity),
            saturation=_run_queue(self._cores),
            sampled_at=now,
        )

    def _busy_seconds(self) -> float:
        if self._limited:
            return self._cgroup.cpu_seconds() or 0.0
        if not self._usable:
            return _busy(psutil.cpu_times())
        cores = psutil.cpu_times(percpu=True)
        return sum(_busy(times) for core, times in enumerate(cores) if core in self._usable)


def _busy(times: Any) -> float:
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Guest time is already counted in user and nice.
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle - guest)


def _usable_cores() -> frozenset[int]:
    """The cores that this process may run on; empty where the system does not tell."""
    try:
        return frozenset(os.sched_getaffinity(0))
    except AttributeError:
        return frozenset()


def _run_queue(cores: float) -> float | None:
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
    return max(0.0, load - cores) / load if load > 0.0 else 0.0


class MemoryPool:
    """Bytes that cannot be taken back at once, of the control group if it is limited, else of the host.

    ``saturation``: the share of swap in use; 0.0 without swap.
    """

    name = "memory"

    def __init__(self, cgroup: Cgroup | None = None) -> None:
        self._cgroup = cgroup or Cgroup()

    def sample(self, now: float) -> PoolSample:
        host = psutil.virtual_memory()
        capacity, used = host.total, host.total - host.available
        limit = self._cgroup.memory_bytes
        if limit is not None and limit < capacity:
            held = self._cgroup.memory_used()
            capacity, used = limit, min(used, limit) if held is None else held
        return PoolSample(
            name=self.name,
            unit="bytes",
            capacity=float(capacity),
            used=float(used),
            utilization=_share(used, capacity),
            saturation=psutil.swap_memory().percent / 100.0,
            sampled_at=now,
        )


class StoragePool:
    """Bytes on the file system that holds ``path``, or will; what is reserved for root counts as taken.

    ``saturation``: the share of time in which the busiest disk had work; None where the system does not
    tell.
    """

    name = "storage"

    def __init__(self, path: str | Path = ".") -> None:
        path = Path(path).absolute()
        self._paths = (path, *path.parents)
        self._busy: dict[str, _Rate] = {}

    def sample(self, now: float) -> PoolSample:
        usage = psutil.disk_usage(str(next(path for path in self._paths if path.exists())))
        capacity = usage.used + usage.free
        return PoolSample(
            name=self.name,
            unit="bytes",
            capacity=float(capacity),
            used=float(usage.used),
            utilization=_share(usage.used, capacity),
            saturation=self._busiest(now),
            sampled_at=now,
        )

    def _busiest(self, now: float) -> float | None:
        shares = [
            self._busy.setdefault(disk, _Rate()).update(counters.busy_time / 1000.0, now)
            for disk, counters in psutil.disk_io_counters(perdisk=True).items()
            if hasattr(counters, "busy_time") and not disk.startswith(("loop", "ram"))
        ]
        return min(1.0, max(shares)) if shares else None


@dataclass(slots=True)
class _Traffic:
    received: float
    sent: float
    packets: float
    lost: float


class NetworkPool:
    """Bytes a second in the busier direction, over all devices but loopback.

    The capacity is the speed of the links that are up; None where no link tells its speed, as in most
    containers. ``saturation``: the share of packets that were dropped or damaged.
    """

    name = "network"

    def __init__(self) -> None:
        self._rates = (_Rate(), _Rate(), _Rate(), _Rate())
        self._capacity: float | None = None
        self._asked_at: float | None = None

    def sample(self, now: float) -> PoolSample:
        total = _traffic()
        received, sent, packets, lost = (
            rate.update(value, now)
            for rate, value in zip(
                self._rates, (total.received, total.sent, total.packets, total.lost), strict=True
            )
        )
        used = max(received, sent)
        capacity = self._link_speed(now)
        return PoolSample(
            name=self.name,
            unit="bytes/s",
            capacity=capacity,
            used=used,
            utilization=_share(used, capacity),
            saturation=lost / (packets + lost) if packets + lost > 0.0 else 0.0,
            sampled_at=now,
        )

    def _link_speed(self, now: float) -> float | None:
        if self._asked_at is None or now - self._asked_at >= _LINK_INTERVAL:
            self._asked_at = now
            links = psutil.net_if_stats().items()
            megabits = sum(max(0, link.speed) for name, link in links if link.isup and not _loopback(name))
            self._capacity = megabits * 1e6 / 8 if megabits else None
        return self._capacity


def _loopback(name: str) -> bool:
    return name == "lo" or name.startswith(("lo0", "Loopback"))


def _traffic() -> _Traffic:
    total = _Traffic(0.0, 0.0, 0.0, 0.0)
    for name, device in psutil.net_io_counters(pernic=True).items():
        if not _loopback(name):
            total.received += device.bytes_recv
            total.sent += device.bytes_sent
            total.packets += device.packets_recv + device.packets_sent
            total.lost += device.dropin + device.dropout + device.errin + device.errout
    return total


def builtin_pools(storage_path: str | Path = ".") -> dict[str, ResourcePool]:
    """The pools every runtime has; ``storage_path`` lies on the file system to watch."""
    cgroup = Cgroup()
    return {
        "cpu": CpuPool(cgroup),
        "memory": MemoryPool(cgroup),
        "storage": StoragePool(storage_path),
        "network": NetworkPool(),
        "descriptors": DescriptorPool(),
        "event-loop": EventLoopPool(),
        "threads": ExecutorPool(),
        "anyio-threads": AnyioPool(),
    }
