"""Open files and sockets of this process, against what it may open."""

from __future__ import annotations

import errno

import psutil

from perfmw.contracts.resources import PoolSample


class DescriptorPool:
    """File descriptors in use. The capacity is the soft limit, None where the system has none."""

    name = "descriptors"

    def __init__(self) -> None:
        self._process = psutil.Process()

    def sample(self, now: float) -> PoolSample:
        capacity = _limit()
        used = self._used(capacity or 0.0)
        return PoolSample(
            name=self.name,
            unit="descriptors",
            capacity=capacity,
            used=used,
            utilization=min(1.0, used / capacity) if capacity else None,
            sampled_at=now,
        )

    def _used(self, capacity: float) -> float:
        """To count them takes one: where none is left, all are in use."""
        try:
            return float(self._process.num_fds()) if hasattr(self._process, "num_fds") else 0.0
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            return capacity


def _limit() -> float | None:
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft in (resource.RLIM_INFINITY, 0) else float(soft)
