"""A cache split between namespaces by their curves, against one LRU for all.

Run it as a script: ``python -m tests.benchmarks.bench_partition [--json]``. Pairs and triples of traces, made
ones and, where PERFMW_DATA names a folder that has them, recorded ones, are mixed; each trace is a
namespace. The plan is made from the first half, the hit ratios are those of the second.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import random
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

from perfmw.learning import Partitioner
from tests.benchmarks.verdicts import told

Access = tuple[str, str]
LENGTH = 30_000
TIGHT = 0.03
"""Of the keys; a cache of more has room."""


def traces() -> dict[str, list[str]]:
    chance = random.Random(31)
    weights = [1 / (rank + 1) for rank in range(8_000)]
    found = {
        "zipf": [str(key) for key in chance.choices(range(8_000), weights, k=LENGTH)],
        "loop": [str(number % 900) for number in range(LENGTH)],
        "scan": [str(number) for number in range(LENGTH)],
        "uniform": [str(chance.randrange(3_000)) for _ in range(LENGTH)],
    }
    folder = os.environ.get("PERFMW_DATA")
    for path in sorted((Path(folder) / "traces").glob("*.txt.gz")) if folder else []:
        with gzip.open(path, "rt") as lines:
            keys = [line.split()[0] for line in itertools.islice(lines, LENGTH) if line.strip()]
        found[path.name.removesuffix(".txt.gz")] = keys
    return found


def mixed(parts: Mapping[str, list[str]], seed: int) -> list[Access]:
    """In random order, each trace in its own, all ending at about the same time."""
    chance = random.Random(seed)
    places = [
        ((at + chance.random()) / len(keys), name) for name, keys in parts.items() for at in range(len(keys))
    ]
    streams = {name: iter(keys) for name, keys in parts.items()}
    return [(name, next(streams[name])) for _, name in sorted(places)]


def hits(accesses: list[Access], sizes: Mapping[str, int] | int, since: int) -> float:
    """The hit ratio of LRU from the access ``since`` on; one pool, or one a namespace."""
    pools: dict[str, OrderedDict[Access, None]] = {}
    found = 0
    for number, access in enumerate(accesses):
        pool = pools.setdefault("" if isinstance(sizes, int) else access[0], OrderedDict())
        room = sizes if isinstance(sizes, int) else sizes[access[0]]
        if access in pool:
            found += number >= since
            pool.move_to_end(access)
        else:
            pool[access] = None
            if len(pool) > room:
                pool.popitem(last=False)
    return found / (len(accesses) - since)


def cases(count: int) -> Iterator[tuple[str, list[Access]]]:
    known = traces()
    groups = [*itertools.combinations(sorted(known), 2), *itertools.combinations(sorted(known), 3)]
    for seed, names in enumerate(random.Random(32).sample(groups, min(count, len(groups)))):
        yield "+".join(names), mixed({name: known[name] for name in names}, seed)


def measure(count: int, shares: tuple[float, ...]) -> list[dict[str, float | str | bool]]:
    found: list[dict[str, float | str | bool]] = []
    for name, accesses in cases(count):
        half = len(accesses) // 2
        learned = Partitioner()
        for access in accesses[:half]:
            learned.access(*access)
        for share in shares:
            capacity = max(10, int(len(set(accesses)) * share))
            plan = learned.plan(capacity)
            shared = hits(accesses, capacity, half)
            got = shared if plan.parts is None else hits(accesses, plan.parts, half)
            found.append(
                {
                    "case": name,
                    "share": share,
                    "shared": shared,
                    "planned": got,
                    "points": 100 * (got - shared),
                    "predicted": 100 * plan.gain,
                    "split": plan.parts is not None,
                }
            )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cases", type=int, default=24)
    options = parser.parse_args()
    shares = (0.01, 0.03, 0.1, 0.3)
    found = measure(options.cases, shares)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for row in found:
        print(
            f"{row['case']:48} {row['share']:.0%} of keys: shared {row['shared']:.3f},"
            f" planned {row['planned']:.3f}, {row['points']:+.1f} points (predicted {row['predicted']:+.1f})"
        )
    for share in shares:
        points = [float(row["points"]) for row in found if row["share"] == share]
        print(f"{share:.0%} of keys: mean {sum(points) / len(points):+.2f} points, least {min(points):+.2f}")
    tight = [float(row["points"]) for row in found if float(row["share"]) <= TIGHT]
    roomy = [float(row["points"]) for row in found if float(row["share"]) > TIGHT]
    good = told(
        "gain over one pool where it is tight, mean", sum(tight) / len(tight), least=2.0, unit="points"
    )
    return int(not told("gain where there is room, least", min(roomy), least=-0.5, unit="points") or not good)


if __name__ == "__main__":
    sys.exit(main())
