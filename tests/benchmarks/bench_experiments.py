"""How often experiments are wrong, and how soon they notice harm, on simulated traffic.

    python -m tests.benchmarks.bench_experiments [--runs 500] [--json]

Each run is a whole trial: 16 blocks in random order, every one with a head that is discarded and four looks
at the guardrails. Latencies are lognormal on a level that wanders from block to block, with pauses that come
in clumps (tests/optimization/load.py). ``claimed`` counts, of runs where nothing was changed, those that
ended with a claim: kept, called worse, or stopped by a guardrail. ``p99`` is of changes that make it 50%
worse, of the slowest 5% alone or of every request, and counts blocks with the change.

Verdicts alone are tried on other noise, too: independent, correlated (standard deviation 0.15, correlation
0.5), with a jump, a drift, bursts. With 500 runs a share of 0.8% cannot be told from one of 1.8%, so each
comes with the upper end of its 95% interval (Clopper and Pearson, Biometrika 1934).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from random import Random
from typing import Any

from perfmw.optimization.experiment import Block, Verdict, judge, plan
from tests.benchmarks.verdicts import told
from tests.optimization.load import (
    NOISES,
    Effect,
    Load,
    Ran,
    faster,
    slower,
    slower_tail,
    trial,
    unchanged,
)

LOADS: dict[str, dict[str, float]] = {
    "1,500 requests a block, level wanders by 6%": {"rate": 375.0},
    "1,500 requests a block, level wanders by 12%": {"rate": 375.0, "wander": 0.12, "jitter": 0.06},
    "400 requests a block, which go on for 1,000, 6%": {"rate": 100.0, "wanted": 1_000},
    "400 requests a block, which go on for 1,000, 12%": {
        "rate": 100.0,
        "wander": 0.12,
        "jitter": 0.06,
        "wanted": 1_000,
    },
}
"""By default blocks go on until they have 1,000 requests, for four times as long at most."""
BLOCKS = 16
_CHEAP = 4
"""So many times as many runs of verdicts alone."""


def trials(runs: int, effect: Effect, load: dict[str, float], seed: int) -> list[Ran]:
    random = Random(seed)
    given = dict(load)
    wanted = int(given.pop("wanted", 0))
    return [trial(Load(random, **given), effect, BLOCKS, random.getrandbits(32), wanted) for _ in range(runs)]


def share(found: Sequence[bool]) -> float:
    return sum(found) / len(found)


def claims(ran: Ran) -> bool:
    return bool(ran.stopped) or ran.verdict.outcome == "keep" or "got worse" in ran.verdict.reason


def verdicts(runs: int, noise: str, effect: float) -> list[Verdict]:
    """Of blocks with that noise, and the share of latency that the change saves."""
    random, found = Random(f"{noise} {effect}"), []
    for _ in range(runs):
        order, levels = plan(BLOCKS, random.getrandbits(32)), NOISES[noise](random, BLOCKS)
        means = [math.exp(level) * (1 - effect * on) for on, level in zip(order, levels, strict=True)]
        found.append(judge([Block(on, 400, 0.05 * mean) for on, mean in zip(order, means, strict=True)]))
    return found


def most(claimed: int, runs: int) -> float:
    """The share that so many of so many exclude with a probability of 97.5%."""
    low, high = claimed / runs, 1.0
    for _ in range(50):
        p = (low + high) / 2
        below = math.fsum(math.comb(runs, k) * p**k * (1 - p) ** (runs - k) for k in range(claimed + 1))
        low, high = (p, high) if below > 0.025 else (low, p)
    return high


def figures(runs: int, load: dict[str, float]) -> dict[str, Any]:
    nothing, fifth = trials(runs, unchanged, load, 1), trials(runs, faster(0.2), load, 2)
    row: dict[str, Any] = {
        "claimed": share([claims(ran) for ran in nothing]),
        "claimed_at_most": most(sum(claims(ran) for ran in nothing), runs),
        "fifth_found": share([ran.verdict.outcome == "keep" and not ran.stopped for ran in fifth]),
    }
    for name, effect in (("tail", slower_tail(1.5)), ("all", slower(1.5))):
        worse = trials(runs, effect, load, 3)
        row[f"p99_{name}_within_2"] = share([bool(ran.stopped) and ran.on_blocks <= 2 for ran in worse])
    return row


def noisy(runs: int, noise: str) -> dict[str, Any]:
    nothing = verdicts(runs, noise, 0.0)
    claimed = sum(one.outcome == "keep" or "got worse" in one.reason for one in nothing)
    found = share([one.outcome == "keep" for one in verdicts(runs, noise, 0.2)])
    return {"claimed": claimed / runs, "claimed_at_most": most(claimed, runs), "fifth_found": found}


def tell(name: str, row: dict[str, Any], *, judged: bool) -> None:
    print(name)
    for figure, value in row.items():
        if figure == "claimed_at_most" or not judged:
            print(f"  {figure}: {value:.4g}")
        else:
            least = {"claimed": None, "fifth_found": 0.8}.get(figure, 0.99)
            told(f"  {figure}", value, least=least, most=0.01 if least is None else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = {name: figures(given.runs, load) for name, load in LOADS.items()}
    noise = {f"verdicts, noise: {name}": noisy(_CHEAP * given.runs, name) for name in NOISES}
    if given.json:
        print(json.dumps(found | noise, indent=2))
        return
    for number, (name, row) in enumerate(found.items()):
        tell(f"{name} ({given.runs} runs each)", row, judged=number == 0)
    for name, row in noise.items():
        tell(f"{name} ({_CHEAP * given.runs} runs each)", row, judged=name.endswith("correlated"))


if __name__ == "__main__":
    main()
