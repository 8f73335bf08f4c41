"""How ``perfmw bench`` measures: an app and the same app wrapped, in turns, and what the difference is.

Two servers run in processes of their own. Short blocks of requests go to one or the other, in pairs whose
order is drawn at random, so that what changes on the machine meanwhile meets both alike. What is compared is
the logarithm of each pair's ratio (a paired t-test), so that the interval tells how sure the ratio is.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from random import Random
from statistics import fmean, stdev
from time import perf_counter

from perfmw.cli.replaying import cache_outcome, quantiles
from perfmw.cli.wire import Origin, WireClient
from perfmw.optimization.student import t_quantile

CONFIDENCE = 0.95
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
_TAIL = 10
_FEWEST_PAIRS = 4
_BLOCK = 0.5
"""Seconds of a block, if there is time for enough of them."""


@dataclass(slots=True)
class Block:
    """What one server did in one block: seconds of each request, and its processor seconds for all."""

    latencies: array[float]
    cpu: float
    elapsed: float
    hits: int = 0

    @property
    def requests(self) -> int:
        return len(self.latencies)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Wrapped over bare: the geometric mean of the pairs' ratios and its 95% interval."""

    ratio: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out that there is no difference."""
        return self.low > 1.0 or self.high < 1.0


@dataclass(slots=True)
class Side:
    """All blocks of one server."""

    blocks: list[Block] = field(default_factory=list)

    @property
    def latencies(self) -> array[float]:
        everything = array("d")
        for block in self.blocks:
            everything.extend(block.latencies)
        return everything

    @property
    def requests(self) -> int:
        return sum(block.requests for block in self.blocks)

    @property
    def hits(self) -> int:
        return sum(block.hits for block in self.blocks)

    @property
    def per_cpu_second(self) -> float | None:
        """Requests a second of the server's processor time; None where the time is too short to be told."""
        cpu = sum(block.cpu for block in self.blocks)
        return self.requests / cpu if cpu > 0 else None

    def quantiles(self) -> dict[str, float | None]:
        """Latencies in seconds by name; None where fewer than ten requests were slower."""
        seconds = self.latencies
        values = zip(QUANTILES.items(), quantiles(seconds, list(QUANTILES.values())), strict=True)
        return {name: value if len(seconds) * (1 - q) >= _TAIL else None for (name, q), value in values}


@dataclass(slots=True)
class Comparison:
    """Both sides, block by block: the nth of each are a pair."""

    bare: Side = field(default_factory=Side)
    wrapped: Side = field(default_factory=Side)

    def ratios(self) -> dict[str, Ratio | None]:
        """Wrapped over bare: of the median latency, the mean latency, and processor time a request."""
        return {
            "p50": self._ratio(lambda block: quantiles(block.latencies, [0.5])[0]),
            "mean": self._ratio(lambda block: fmean(block.latencies)),
            "cpu_per_request": self._ratio(lambda block: block.cpu / block.requests),
        }

    def _ratio(self, figure: Callable[[Block], float]) -> Ratio | None:
        pairs = zip(self.bare.blocks, self.wrapped.blocks, strict=True)
        known = [(figure(a), figure(b)) for a, b in pairs if a.requests and b.requests]
        return ratio_of([math.log(b / a) for a, b in known if a > 0 and b > 0])


def ratio_of(logs: Sequence[float]) -> Ratio | None:
    """The ratio behind logarithms of ratios; None for fewer than four, which tell no interval."""
    if len(logs) < _FEWEST_PAIRS:
        return None
    mean = fmean(logs)
    margin = t_quantile((1 + CONFIDENCE) / 2, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(mean), math.exp(mean - margin), math.exp(mean + margin))


@dataclass(frozen=True, slots=True)
class Server:
    """Where one of the two answers, and how to read its processor seconds so far."""

    origin: Origin
    cpu: Callable[[], float]


class Bench:
    """Measures ``bare`` against ``wrapped``.

    :param paths: asked for in turn.
    :param concurrency: requests under way at a time.
    :param progress: told the share that is done, 0..1.
    """

    def __init__(
        self,
        bare: Server,
        wrapped: Server,
        paths: Sequence[str],
        *,
        concurrency: int,
        progress: Callable[[float], None] = lambda _: None,
        random: Random | None = None,
    ) -> None:
        self._servers = (bare, wrapped)
        self._paths = paths
        self._concurrency = concurrency
        self._progress = progress
        self._random = random or Random()

    async def run(self, seconds: float) -> Comparison:
        """Measure for about ``seconds``, after a tenth of them to warm both up.

        :raises WireError: a server did not answer.
        :raises RuntimeError: one answered with an error.
        """
        pairs, block = plan(seconds)
        found = Comparison()
        sides = (found.bare, found.wrapped)
        async with WireClient(self._servers[0].origin) as one, WireClient(self._servers[1].origin) as other:
            clients = (one, other)
            for place in (0, 1):
                await self._block(place, clients[place], max(0.2, seconds / 20))
            for pair in range(pairs):
                for place in self._random.sample((0, 1), 2):
                    sides[place].blocks.append(await self._block(place, clients[place], block))
                self._progress((pair + 1) / pairs)
        return found

    async def _block(self, place: int, client: WireClient, seconds: float) -> Block:
        cpu = self._servers[place].cpu
        paths, block = cycle(self._paths), Block(array("d"), 0.0, 0.0)
        before, began = cpu(), perf_counter()
        until = began + seconds

        async def ask() -> None:
            while (started := perf_counter()) < until:
                path = next(paths)
                response = await client.get(path, keep=False)
                if response.status >= 400:
                    raise RuntimeError(f"{path} was answered {response.status}")
                block.latencies.append(perf_counter() - started)
                block.hits += cache_outcome(response) == "hit"

        await _together([ask() for _ in range(self._concurrency)])
        block.cpu, block.elapsed = cpu() - before, perf_counter() - began
        return block


def plan(seconds: float) -> tuple[int, float]:
    """How many pairs of blocks, and the seconds of each, for about ``seconds`` in all."""
    pairs = max(_FEWEST_PAIRS, round(seconds * 0.9 / (2 * _BLOCK)))
    return pairs, seconds * 0.9 / (2 * pairs)


async def _together(work: Sequence[Awaitable[None]]) -> None:
    """Until all are done; the first failure ends the others, and is raised as it is."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
