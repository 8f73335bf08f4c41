"""What other processes of this machine use."""

from __future__ import annotations

from collections.abc import Callable

import psutil


def processor_time(pid: int) -> Callable[[], float]:
    """What tells the processor seconds, user and system, that the process ``pid`` has used so far.

    Both raise ProcessLookupError when there is no such process (any more).
    """
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        raise ProcessLookupError(f"there is no process {pid}") from None

    def used() -> float:
        try:
            times = process.cpu_times()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            raise ProcessLookupError(f"the process {pid} has ended") from None
        return float(times.user + times.system)

    return used
