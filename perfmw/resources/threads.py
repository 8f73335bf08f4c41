"""Threads that blocking work is handed to: asyncio's default executor, and anyio's limiter."""

from __future__ import annotations

import asyncio
import sys
from math import isfinite
from typing import Any

from perfmw.contracts.resources import PoolSample


def _sample(name: str, now: float, capacity: float | None, used: float, waiting: int) -> PoolSample:
    return PoolSample(
        name=name,
        unit="threads",
        capacity=capacity,
        used=used,
        utilization=min(1.0, used / capacity) if capacity else None,
        saturation=waiting / (used + waiting) if waiting else 0.0,
        sampled_at=now,
        waiting=waiting,
    )


class ExecutorPool:
    """The executor of ``asyncio.to_thread`` and ``run_in_executor(None, …)``, of the loop that samples.

    It tells nothing of itself officially; where it is another than the standard one, nothing is known.
    Before it is first used there is none, and nothing is in use.
    """

    name = "threads"

    def sample(self, now: float) -> PoolSample:
        executor = getattr(_loop(), "_default_executor", None)
        capacity: int | None = getattr(executor, "_max_workers", None)
        queue = getattr(executor, "_work_queue", None)
        waiting: int = queue.qsize() if queue is not None else 0
        idle = getattr(getattr(executor, "_idle_semaphore", None), "_value", 0)
        used = max(0, len(getattr(executor, "_threads", ())) - idle)
        return _sample(self.name, now, None if capacity is None else float(capacity), float(used), waiting)


def _loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class AnyioPool:
    """anyio's default limiter: the threads of Starlette's and FastAPI's handlers that are not async."""

    name = "anyio-threads"

    def sample(self, now: float) -> PoolSample:
        to_thread = sys.modules.get("anyio.to_thread")
        if to_thread is None or _loop() is None:
            return _sample(self.name, now, None, 0.0, 0)
        told = to_thread.current_default_thread_limiter().statistics()
        capacity, used = float(told.total_tokens), float(told.borrowed_tokens)
        sample = _sample(self.name, now, capacity, used, told.tasks_waiting)
        sample.resizable = isfinite(capacity)
        return sample

    def resize(self, capacity: float) -> None:
        """Let so many threads work at a time.

        :raises ValueError: fewer than one, or anyio is not in use here.
        """
        to_thread = sys.modules.get("anyio.to_thread")
        if to_thread is None or _loop() is None or capacity < 1:
            raise ValueError(f"the threads of anyio can not be {capacity:g} here")
        to_thread.current_default_thread_limiter().total_tokens = round(capacity)
