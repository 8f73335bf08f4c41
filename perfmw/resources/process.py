"""What this process itself used."""

from __future__ import annotations

from contextlib import suppress
from os import PathLike

import psutil

from perfmw.contracts.profiles import ResourceUsageMetrics


class ProcessUsage:
    """Reads CPU, memory and I/O of this process and its children that have ended.

    :param storage: a folder; how full its file system is, is told too.
    """

    def __init__(self, storage: str | PathLike[str] = ".") -> None:
        self._storage = storage
        self._process = psutil.Process()
        self._at: float | None = None
        self._cpu = 0.0
        self._last = ResourceUsageMetrics()

    def sample(self, now: float) -> ResourceUsageMetrics:
        """Totals since the process began; ``cpu_utilization`` in cores since the last sample.

        ``average`` is the mean of the utilisations that are known. I/O is None where the system hides it.
        Where nothing can be read, as without a file descriptor to read it by, what was read last.
        """
        with suppress(OSError):
            self._last = self._read(now)
        return self._last

    def _read(self, now: float) -> ResourceUsageMetrics:
        with self._process.oneshot():
            times = self._process.cpu_times()
            resident = self._process.memory_info().rss
            share = self._process.memory_percent() / 100.0
        cpu = times.user + times.system + times.children_user + times.children_system
        cores = self._cores(cpu, now)
        known = [one for one in (cores, share) if one is not None]
        return ResourceUsageMetrics(
            cpu_seconds=cpu,
            cpu_utilization=cores,
            memory_bytes=resident,
            memory_utilization=share,
            storage_utilization=self._full(),
            io_bytes=self._io(),
            average=sum(known) / len(known),
        )

    def _cores(self, cpu: float, now: float) -> float | None:
        before, at = self._cpu, self._at
        self._cpu, self._at = cpu, now
        return (cpu - before) / (now - at) if at is not None and now > at else None

    def _full(self) -> float | None:
        try:
            return float(psutil.disk_usage(str(self._storage)).percent) / 100.0
        except OSError:
            return None

    def _io(self) -> int | None:
        try:
            counters = self._process.io_counters()
        except (AttributeError, psutil.Error, OSError):
            return None
        return int(counters.read_bytes + counters.write_bytes)
