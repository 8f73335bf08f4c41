"""Miss-ratio curves against exact LRU: the error at log-spaced sizes, the time of an access, memory.

Run it as a script: ``python -m tests.benchmarks.bench_curves [--json]``. Traces are made here and, where
PERFMW_DATA names a folder that has them, recorded; the error is the median over several salts of the sample.
The time is also told as a ratio to a dict lookup with move-to-end, the least that an exact LRU does.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import random
import statistics
import sys
import time
import tracemalloc
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from perfmw.learning import MissRatioCurve
from perfmw.learning.stack import LRUStack
from tests.benchmarks.verdicts import told

Trace = Sequence[Hashable]
MANY = 10_000


def traces() -> Iterator[tuple[str, Trace]]:
    chance = random.Random(41)
    yield "zipf 200k", [f"key:{int(200_000 * chance.random() ** 4)}" for _ in range(200_000)]
    yield "uniform 50k", [f"key:{chance.randrange(50_000)}" for _ in range(200_000)]
    yield "loop 15k", [number % 15_000 for number in range(150_000)]
    folder = os.environ.get("PERFMW_DATA")
    for path in sorted((Path(folder) / "traces").glob("*.txt.gz")) if folder else []:
        with gzip.open(path, "rt") as lines:
            yield path.name.removesuffix(".txt.gz"), [line.split()[0] for line in lines if line.strip()]


def exact(trace: Trace, sizes: Sequence[int]) -> list[float]:
    stack = LRUStack(len(set(trace)) + 1)
    hits = [0] * (len(set(trace)) + 2)
    for key in trace:
        hits[stack.use(key)] += 1
    hits[0] = 0
    sums = list(accumulate(hits))
    return [sums[size] / len(trace) for size in sizes]


def lru_seconds(trace: Trace) -> float:
    held: OrderedDict[Hashable, None] = OrderedDict()
    began = time.process_time()
    for key in trace:
        if key in held:
            held.move_to_end(key)
        else:
            held[key] = None
    return time.process_time() - began


def measure(name: str, trace: Trace, salts: int = 3) -> dict[str, float | str]:
    keys = len(set(trace))
    sizes = sorted({max(1, round(math.exp(math.log(keys) * step / 29))) for step in range(30)})
    wanted = exact(trace, sizes)
    errors, spent, rival = [], [], []
    for salt in range(salts):
        curve = MissRatioCurve(salt=salt)
        began = time.process_time()
        for key in trace:
            curve.access(key)
        spent.append(time.process_time() - began)
        rival.append(lru_seconds(trace))
        got = curve.curve(sizes)
        errors.append(statistics.mean(abs(one - other) for one, other in zip(got, wanted, strict=True)))
    return {
        "trace": name,
        "keys": keys,
        "mae": statistics.median(errors),
        "us_an_access": min(spent) / len(trace) * 1e6,
        "against_lru": statistics.median(one / other for one, other in zip(spent, rival, strict=True)),
    }


def memory(keys: int = 500_000) -> float:
    """MiB at most, with so many distinct keys; the keys themselves are made one by one."""
    tracemalloc.start()
    curve = MissRatioCurve()
    for number in range(keys):
        curve.access(f"GET https://shop.example/items/{number}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = [measure(name, trace) for name, trace in traces()]
    mib = memory()
    if options.json:
        print(json.dumps({"traces": found, "mib_for_500000_keys": mib}, indent=2))
        return 0
    for row in found:
        print(
            f"{row['trace']:16} {row['keys']:7} keys: error {row['mae']:.4f},"
            f" {row['us_an_access']:.2f} us an access, {row['against_lru']:.1f} times an LRU's"
        )
    large = [float(row["mae"]) for row in found if int(row["keys"]) >= MANY]
    small = [float(row["mae"]) for row in found if int(row["keys"]) < MANY]
    good = told("error, 10,000 keys or more, worst", max(large), most=0.01)
    good &= told("error, fewer keys, worst", max(small, default=0.0), most=0.005)
    spent = statistics.median(float(row["us_an_access"]) for row in found)
    good &= told("an access, median", spent, most=2.0, unit="us")
    return int(not told("500,000 keys", mib, most=32.0, unit="MiB") or not good)


if __name__ == "__main__":
    sys.exit(main())
