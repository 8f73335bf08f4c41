"""What an operation of MemoryLayer costs with 1,000,000 entries against 1,000, the same memory resident.

Run it as ``python -m tests.benchmarks.bench_scale [--policy NAME] [--json]``. Processor caches make
any dictionary slower as it grows, so that one layer of 1,000,000 entries is compared with 1,000 layers of
1,000 that hold the same entries. So that memory is as cold and as scattered for both,

- keys come into both in one random order, a layer after the other, so that who is evicted next lies as near
  in memory to who was evicted before;
- both are asked for the same keys, in the same order: runs of 20 keys of one small layer each, drawn anew.
  Within a run a small layer's own objects stay in the processor's cache, as the large one's always do;
- turns alternate, and which one is first alternates too; no object is freed while a turn is measured.

A small layer that has the processor's caches to itself would be several times faster, as any dictionary is.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from perfmw.cache import MemoryLayer
from tests.benchmarks.verdicts import told

LIMIT = 1.6
SMALL = 1_000
RUN = 20
OPERATIONS = 20_000
Work = list[tuple[MemoryLayer, str]]
Run = Callable[[Work], float]


@dataclass(frozen=True)
class Figure:
    """Nanoseconds an operation, medians over turns; ``ratio`` is the median of the turns' ratios."""

    small_ns: float
    large_ns: float
    ratio: float


def _hits(work: Work) -> float:
    began = time.perf_counter()
    for layer, key in work:
        layer.get_nowait(key)
    return (time.perf_counter() - began) / len(work)


def _misses(work: Work) -> float:
    began = time.perf_counter()
    for layer, key in work:
        if layer.get_nowait(key) is None:
            layer.set_nowait(key, key)
    return (time.perf_counter() - began) / len(work)


class Layers:
    """The same entries in one large layer and in many small ones."""

    def __init__(self, policy: str, entries: int) -> None:
        self.large = MemoryLayer(max_entries=entries, policy=policy)
        self.small = [MemoryLayer(max_entries=SMALL, policy=policy) for _ in range(entries // SMALL)]
        self._source = random.Random(7)
        keys = [f"GET https://shop.example/items/{number}" for number in range(entries)]
        self._source.shuffle(keys)
        self._keys = [keys[at : at + SMALL] for at in range(0, entries, SMALL)]
        for key in keys:
            self.large.set_nowait(key, key)
        for layer, block in zip(self.small, self._keys, strict=True):
            for key in block:
                layer.set_nowait(key, key)

    def _picked(self) -> Iterator[tuple[MemoryLayer, str]]:
        for _ in range(OPERATIONS // RUN):
            number = self._source.randrange(len(self.small))
            for key in self._source.sample(self._keys[number], RUN):
                yield self.small[number], key

    def residents(self, turn: int) -> tuple[Work, Work]:
        """The work for the small layers and for the large one."""
        small = list(self._picked())
        return small, [(self.large, key) for _, key in small]

    def newcomers(self, turn: int) -> tuple[Work, Work]:
        # each layer has key objects of its own, for those just made are still in the processor's cache
        picked = list(self._picked())
        named = [[(layer, f"{turn} {at} {key}") for at, (layer, key) in enumerate(picked)] for _ in range(2)]
        return named[0], [(self.large, key) for _, key in named[1]]


def _compare(run: Run, make: Callable[[int], tuple[Work, Work]], turns: int) -> Figure:
    costs: list[tuple[float, float]] = []
    for turn in range(turns):
        small, large = make(turn)
        if turn % 2:
            other = run(large)
            costs.append((run(small), other))
        else:
            costs.append((run(small), run(large)))
    return Figure(
        statistics.median(cost for cost, _ in costs) * 1e9,
        statistics.median(cost for _, cost in costs) * 1e9,
        statistics.median(large / small for small, large in costs),
    )


def measure(policy: str, entries: int, turns: int) -> dict[str, Figure]:
    """A hit, and a miss that stores and evicts."""
    layers = Layers(policy, entries)
    gc.collect()
    gc.disable()
    try:
        return {
            "hit": _compare(_hits, layers.residents, turns),
            "miss_set_evict": _compare(_misses, layers.newcomers, turns),
        }
    finally:
        gc.enable()


def main() -> int:
    """Print the figures; exit status 1 when a ratio is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--policy", default="lru,sieve,s3fifo", help="names with commas between")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    found = {}
    for policy in options.policy.split(","):
        found[policy] = measure(policy, options.entries, options.turns)
        for name, figure in {} if options.json else found[policy].items():
            print(
                f"{policy:9} {name:15} {options.entries // SMALL:,} x 1,000 {figure.small_ns:6.0f} ns"
                f"   1 x {options.entries:,} {figure.large_ns:6.0f} ns",
                flush=True,
            )
            told(f"{policy}, {name}, {options.entries:,} entries against 1,000", figure.ratio, most=LIMIT)
    if options.json:
        print(json.dumps({policy: _plain(figures) for policy, figures in found.items()}))
    return int(any(figure.ratio > LIMIT for figures in found.values() for figure in figures.values()))


def _plain(figures: dict[str, Figure]) -> dict[str, dict[str, float]]:
    return {name: asdict(figure) for name, figure in figures.items()}


if __name__ == "__main__":
    sys.exit(main())
