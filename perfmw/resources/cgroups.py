"""Limits and use of the control group this process runs in, versions 1 and 2 (Linux containers).

Sources: Linux Documentation/admin-guide/cgroup-v2.rst (cpu.max, cpu.stat, memory.max, memory.current,
memory.stat) and cgroup-v1/ (cpu.cfs_quota_us, cpuacct.usage, memory.limit_in_bytes).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")

_UNLIMITED_V1: Final = 1 << 60
"""Version 1 says "no limit" by a number close to 2^63."""


class Cgroup:
    """The nearest limits above this process. Where there is none, or no cgroup at all, a limit is None.

    Limits are read once, at construction; use is read at each call and is None where it cannot be.
    """

    def __init__(self, root: Path = ROOT, membership: Path = MEMBERSHIP) -> None:
        groups, self._root = _membership(membership), root
        self._v2 = list(_upward(root, groups[""])) if "" in groups else []
        self._cpu_v1 = list(_upward(root / "cpu", groups["cpu"])) if "cpu" in groups else []
        self._memory_v1 = list(_upward(root / "memory", groups["memory"])) if "memory" in groups else []
        self._cpu_group: Path | None = None
        self._memory_group: Path | None = None
        self.cpu_cores = self._find_cpu()
        """Cores' worth of CPU time a second."""
        self.memory_bytes = self._find_memory()

    def _find_cpu(self) -> float | None:
        limits = [(_cpu_v2(group), group) for group in self._v2]
        limits += [(_cpu_v1(group), group) for group in self._cpu_v1]
        known = [(limit, group) for limit, group in limits if limit is not None]
        if not known:
            return None
        cores, self._cpu_group = min(known, key=lambda one: one[0])
        return cores

    def _find_memory(self) -> int | None:
        limits = [(_number(group / "memory.max"), group) for group in self._v2]
        limits += [(_number(group / "memory.limit_in_bytes"), group) for group in self._memory_v1]
        known = [(n, group) for n, group in limits if n is not None and n < _UNLIMITED_V1]
        if not known:
            return None
        limit, self._memory_group = min(known, key=lambda one: one[0])
        return limit

    def cpu_seconds(self) -> float | None:
        """CPU time used so far by the group whose limit holds."""
        if self._cpu_group is None:
            return None
        used = _stat(self._cpu_group / "cpu.stat", "usage_usec")
        if used is not None:
            return used / 1e6
        groups = (self._cpu_group, self._accounting)
        nanoseconds = next((n for one in groups if (n := _number(one / "cpuacct.usage")) is not None), None)
        return None if nanoseconds is None else nanoseconds / 1e9

    @property
    def _accounting(self) -> Path:
        """Where version 1 counts the time of the group whose limit holds, if not beside the limit."""
        assert self._cpu_group is not None
        limits = self._root / "cpu"
        below = self._cpu_group.relative_to(limits) if self._cpu_group.is_relative_to(limits) else Path()
        return self._root / "cpuacct" / below

    def memory_used(self) -> int | None:
        """Bytes used by the group whose limit holds, without file cache that can be dropped at once."""
        group = self._memory_group
        if group is None:
            return None
        used = _number(group / "memory.current")
        cache = _stat(group / "memory.stat", "inactive_file")
        if used is None:
            used = _number(group / "memory.usage_in_bytes")
            cache = _stat(group / "memory.stat", "total_inactive_file")
        return None if used is None else max(0, used - (cache or 0))


def _membership(path: Path) -> dict[str, str]:
    """Controller -> group path; version 2 has the empty controller."""
    groups: dict[str, str] = {}
    for line in _read(path).splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for controller in parts[1].split(","):
                groups[controller] = parts[2]
    return groups


def _upward(root: Path, group: str) -> Iterator[Path]:
    """The group's directory and those above it, as far as they are visible from here."""
    parts = [part for part in group.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        directory = root.joinpath(*parts[:depth])
        if directory.is_dir():
            yield directory


def _cpu_v2(group: Path) -> float | None:
    parts = _read(group / "cpu.max").split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        return None
    return int(parts[0]) / max(1, int(parts[1]))


def _cpu_v1(group: Path) -> float | None:
    quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return quota / period if quota is not None and quota > 0 and period else None


def _stat(path: Path, name: str) -> int | None:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return None


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
