"""``@cached``'s hit in memory against those of cashews and aiocache.

Run it as ``python -m tests.benchmarks.bench_cached``; the three take turns within one run.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import aiocache
from cashews import Cache

from perfmw import cached
from tests.benchmarks.verdicts import told

LIMITS = {"cashews": 0.25, "aiocache": 0.5}
Load = Callable[[int], Awaitable[str]]
rival = Cache()
rival.setup("mem://")


@cached(ttl=60)
async def ours(user_id: int) -> str:
    return f"user {user_id}"


@rival(ttl="1m")
async def of_cashews(user_id: int) -> str:
    return f"user {user_id}"


@aiocache.cached(ttl=60)
async def of_aiocache(user_id: int) -> str:
    return f"user {user_id}"


async def _time(load: Load, count: int = 1_500) -> float:
    began = time.perf_counter()
    for number in range(count):
        await load(number % 50)
    return (time.perf_counter() - began) / count


async def measure(turns: int = 15) -> dict[str, list[float]]:
    """Seconds a hit of each, turn by turn."""
    loads: dict[str, Load] = {"perfmw": ours, "cashews": of_cashews, "aiocache": of_aiocache}
    taken: dict[str, list[float]] = {name: [] for name in loads}
    for load in loads.values():
        await _time(load, 100)
    for _ in range(turns):
        for name, load in loads.items():
            taken[name].append(await _time(load))
    return taken


def main() -> int:
    """Print the figures; exit status 1 when a ratio is over its limit."""
    taken = asyncio.run(measure())
    mine = taken["perfmw"]
    print(f"perfmw {statistics.median(mine) * 1e6:.1f} us a hit")
    met = True
    for name, limit in LIMITS.items():
        ratio = statistics.median(one / other for one, other in zip(mine, taken[name], strict=True))
        print(f"{name} {statistics.median(taken[name]) * 1e6:.1f} us a hit")
        met = told(f"a hit of @cached against {name}'s", ratio, most=limit) and met
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
