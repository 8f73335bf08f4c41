"""How often experiments are wrong, and how soon they notice harm, on simulated traffic.

    python -m tests.benchmarks.bench_experiments [aa | fifth | p99 | verdicts] [--runs 500] [--seed 0]

Each run is a whole trial: 16 blocks in turns, every one with a head that is discarded and four looks
at the guardrails, or more where they can not tell. Latencies are lognormal on a level that wanders from block
to block, with pauses that come in clumps (tests/optimization/load.py). ``aa`` counts, of runs where nothing
was changed, those that ended with a claim: kept, called worse, or stopped by a guardrail. ``p99`` is of
changes that make it 50% worse, of the slowest 5% alone or of every request, and counts blocks with them.

Verdicts alone are tried on other noise, too: independent, correlated (standard deviation 0.15, correlation
0.5), with a jump, a drift, bursts. With 500 runs a share of 0.8% cannot be told from one of 1.8%, so each
comes with its 95% interval (Clopper and Pearson, Biometrika 1934).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from random import Random

from perfmw.optimization.experiment import Block, Verdict, doubtful, judge, plan
from perfmw.optimization.trial import CONFIRMED
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


def claims(ran: Ran) -> bool:
    return ran.stopped or ran.verdict.outcome == "keep" or "got worse" in ran.verdict.reason


def verdicts(runs: int, noise: str, effect: float, seed: int) -> list[Verdict]:
    """Of blocks with that noise, and the share of latency that the change saves."""
    random, legs = Random(f"{noise} {effect} {seed}"), [BLOCKS, *[BLOCKS // 2] * CONFIRMED]
    found = []
    for _ in range(runs):
        order = [on for leg in legs for on in plan(leg, random.getrandbits(32))]
        levels = NOISES[noise](random, len(order))
        means = [math.exp(level) * (1 - effect * on) for on, level in zip(order, levels, strict=True)]
        found.append(
            settled([Block(on, 400, 0.05 * mean) for on, mean in zip(order, means, strict=True)], legs)
        )
    return found


def settled(blocks: list[Block], legs: list[int]) -> Verdict:
    """A gain that is not sure after the first blocks gets those that are left, as in a trial."""
    for end in accumulate(legs):
        verdict = judge(blocks[:end])
        if not doubtful(verdict):
            return verdict
    return replace(verdict, outcome="roll_back")


def bounds(count: int, runs: int) -> tuple[float, float]:
    """The 95% interval of a share of which so many of so many were found."""

    def chance(k: int, p: float) -> float:
        ways = math.lgamma(runs + 1) - math.lgamma(k + 1) - math.lgamma(runs - k + 1)
        return math.exp(ways + k * math.log(p) + (runs - k) * math.log1p(-p))

    def upper(found: int) -> float:
        low, high = found / runs, 1.0
        for _ in range(40 if found < runs else 0):
            p = (low + high) / 2
            below = math.fsum(chance(k, p) for k in range(found + 1))
            low, high = (p, high) if below > 0.025 else (low, p)
        return high

    return 1.0 - upper(runs - count), upper(count)


def rows(what: str, runs: int, seed: int) -> Iterator[tuple[str, int, int, bool]]:
    """(figure, in how many runs, of how many, whether it is to be seldom), one after the other."""
    for name, load in LOADS.items():
        if what in ("all", "aa"):
            found = trials(runs, unchanged, load, 10 * seed + 1)
            yield f"claimed; {name}", sum(map(claims, found)), runs, True
        if what in ("all", "fifth"):
            found = trials(runs, faster(0.2), load, 10 * seed + 2)
            kept = sum(ran.verdict.outcome == "keep" and not ran.stopped for ran in found)
            yield f"a fifth faster, found; {name}", kept, runs, False
        if what in ("all", "p99"):
            for worse, effect in (("the slowest 5%", slower_tail(1.5)), ("every request", slower(1.5))):
                found = trials(runs, effect, load, 10 * seed + 3)
                soon = sum(ran.stopped and ran.on_blocks <= 2 for ran in found)
                yield f"{worse} half as long again, undone within 2 blocks; {name}", soon, runs, False
    for noise in NOISES if what in ("all", "verdicts") else ():
        cheap = _CHEAP * runs
        judged = verdicts(cheap, noise, 0.0, seed)
        claimed = sum(one.outcome == "keep" or "got worse" in one.reason for one in judged)
        yield f"verdicts, claimed; noise: {noise}", claimed, cheap, True
        kept = sum(one.outcome == "keep" for one in verdicts(cheap, noise, 0.2, seed))
        yield f"verdicts, a fifth faster, found; noise: {noise}", kept, cheap, False


def tell(figure: str, count: int, runs: int, seldom: bool) -> None:
    """Verdicts are judged on correlated noise; on the others they are told."""
    judged = "noise" not in figure or figure.endswith("correlated")
    least = 0.99 if "undone" in figure else 0.8
    told(
        figure,
        count / runs,
        least=least if judged and not seldom else None,
        most=0.01 if judged and seldom else None,
    )
    low, high = bounds(count, runs)
    print(f"  {count} of {runs}, 95%: {low:.3%} to {high:.3%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", nargs="?", default="all", choices=["all", "aa", "fifth", "p99", "verdicts"])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="of all runs: another one, other luck")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = rows(given.what, given.runs, given.seed)
    if given.json:
        print(json.dumps({name: [count, runs, *bounds(count, runs)] for name, count, runs, _ in found}))
        return
    for row in found:
        tell(*row)


if __name__ == "__main__":
    main()
