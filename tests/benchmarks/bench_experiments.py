"""How often experiments are wrong, and how soon they notice harm, on simulated traffic.

    python -m tests.benchmarks.bench_experiments [--runs 500] [--json]

Each run is a whole trial: 16 blocks in random order, every one with a head that is discarded and four looks
at the guardrails. Latencies are lognormal on a level that wanders from block to block, with pauses that come
in clumps (tests/optimization/load.py). ``claimed`` counts, of runs where nothing was changed, those that
ended with a claim: kept, called worse, or stopped by a guardrail. ``p99`` is of changes that make it 50%
worse, of every request or of the slowest 5% alone, and counts blocks with the change.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.optimization.load import Effect, Load, Ran, faster, slower, slower_tail, trial, unchanged

LOADS: dict[str, dict[str, float]] = {
    "1,000 requests a block, level wanders by 6%": {"rate": 250.0},
    "400 requests a block, level wanders by 6%": {"rate": 100.0},
    "1,000 requests a block, level wanders by 12%": {"rate": 250.0, "wander": 0.12, "jitter": 0.06},
}
BLOCKS = 16


def trials(runs: int, effect: Effect, load: dict[str, float], seed: int) -> list[Ran]:
    random = Random(seed)
    return [trial(Load(random, **load), effect, BLOCKS, random.getrandbits(32)) for _ in range(runs)]


def share(found: Sequence[bool]) -> float:
    return sum(found) / len(found)


def claims(ran: Ran) -> bool:
    return bool(ran.stopped) or ran.verdict.outcome == "keep" or "got worse" in ran.verdict.reason


def figures(runs: int, load: dict[str, float]) -> dict[str, Any]:
    nothing, fifth = trials(runs, unchanged, load, 1), trials(runs, faster(0.2), load, 2)
    row: dict[str, Any] = {
        "claimed": share([claims(ran) for ran in nothing]),
        "stopped": share([bool(ran.stopped) for ran in nothing]),
        "fifth_found": share([ran.verdict.outcome == "keep" and not ran.stopped for ran in fifth]),
    }
    for name, effect in (("all", slower(1.5)), ("tail", slower_tail(1.5))):
        worse = trials(runs, effect, load, 3)
        row[f"p99_{name}_within_2"] = share([bool(ran.stopped) and ran.on_blocks <= 2 for ran in worse])
        row[f"p99_{name}_ever"] = share([bool(ran.stopped) for ran in worse])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = {name: figures(given.runs, load) for name, load in LOADS.items()}
    if given.json:
        print(json.dumps(found, indent=2))
        return
    for name, row in found.items():
        print(f"{name} ({given.runs} runs each)")
        for figure, value in row.items():
            print(f"  {figure:<20} {value:7.2%}")


if __name__ == "__main__":
    main()
