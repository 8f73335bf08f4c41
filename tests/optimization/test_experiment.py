from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.optimization.experiment import Block, Gates, Verdict, judge, judge_sparing, plan
from perfmw.optimization.student import t_cdf, t_quantile


def simulate(
    effect: float, blocks: int, random: Random, *, noise: float = 0.08, drift: float = 0.05
) -> Verdict:
    """Block means with noise of their own on a level that wanders, as live latency does."""
    level, seen = 0.0, []
    for on in plan(blocks, random.getrandbits(32)):
        level += random.gauss(0, drift)
        mean = 0.05 * math.exp(level + random.gauss(0, noise)) * (1 - effect if on else 1)
        seen.append(Block(on, 400, mean))
    return judge(seen)


@pytest.mark.parametrize("noise", [0.05, 0.12, 0.25])
def test_no_change_is_hardly_ever_claimed_to_be_one(noise: float) -> None:
    random = Random(1)
    runs = [simulate(0.0, 16, random, noise=noise, drift=noise) for _ in range(500)]
    assert sum(run.outcome == "keep" or "got worse" in run.reason for run in runs) <= 5


def test_a_true_fifth_is_mostly_found_with_16_blocks() -> None:
    random = Random(3)
    runs = [simulate(0.2, 16, random) for _ in range(300)]
    kept = [run for run in runs if run.outcome == "keep"]
    assert len(kept) >= 0.8 * len(runs)
    assert sum(run.improvement or 0 for run in kept) / len(kept) == pytest.approx(0.2, abs=0.02)


def test_the_interval_holds_the_true_effect_as_often_as_it_says() -> None:
    random = Random(4)
    intervals = [simulate(0.3, 8, random).interval for _ in range(500)]
    held = sum(low <= 0.3 <= high for low, high in filter(None, intervals))
    assert held / len(intervals) == pytest.approx(Gates().confidence, abs=0.015)


def test_a_change_that_hurts_is_called_worse() -> None:
    runs = [simulate(-0.5, 8, Random(seed), noise=0.03, drift=0.02) for seed in range(20)]
    assert {run.outcome for run in runs} == {"roll_back"}
    assert all("got worse" in run.reason for run in runs)


def test_a_proven_but_small_gain_is_not_kept() -> None:
    blocks = [Block(on, 100, 0.0475 if on else 0.05 + i * 1e-6) for i, on in enumerate(plan(12, 1))]
    verdict = judge(blocks)
    assert verdict.outcome == "roll_back"
    assert verdict.improvement == pytest.approx(0.05, abs=0.001)
    assert "below the 10%" in verdict.reason


@pytest.mark.parametrize(
    ("slower", "noise", "outcome", "open_"),
    [
        (0.0, 0.01, "keep", False),
        (0.02, 0.01, "keep", False),
        (0.0, 0.3, "roll_back", True),
        (0.3, 0.01, "roll_back", False),
        (0.3, 0.1, "roll_back", False),
    ],
)
def test_what_spares_something_else_is_kept_where_it_is_proven_not_to_be_slower(
    slower: float, noise: float, outcome: str, open_: bool
) -> None:
    random = Random(5)
    blocks = [
        Block(on, 100, 0.05 * (1 + slower * on) * math.exp(random.gauss(0, noise))) for on in plan(16, 1)
    ]
    verdict = judge_sparing(blocks)
    assert (verdict.outcome, verdict.open) == (outcome, open_)
    assert judge_sparing(blocks[:2]).outcome == "not_enough_data"


@pytest.mark.parametrize(
    ("fewer", "slower", "kept"), [(0.0, 0.0, True), (0.05, 0.0, False), (0.0, 2.0, False)]
)
def test_where_latency_swings_hits_tell_that_a_smaller_memory_does_no_harm(
    fewer: float, slower: float, kept: bool
) -> None:
    random, blocks = Random(7), list[Block]()
    for on in plan(16, 1):
        mean = 0.05 * (1 + slower * on) * math.exp(random.gauss(0, 0.4))
        blocks.append(Block(on, 1_000, mean, hits=round(800 - 1_000 * fewer * on + random.gauss(0, 10))))
    verdict = judge_sparing(blocks)
    assert (verdict.outcome == "keep") is kept, verdict.reason
    assert ("of the requests fewer hit" in verdict.reason) is kept


def test_what_is_a_tenth_slower_is_hardly_ever_called_no_slower() -> None:
    random = Random(6)
    runs = []
    for _ in range(300):
        noisy = [0.05 * (1.1 if on else 1.0) * math.exp(random.gauss(0, 0.08)) for on in plan(16, 1)]
        runs.append(
            judge_sparing([Block(on, 100, mean) for on, mean in zip(plan(16, 1), noisy, strict=True)])
        )
    assert sum(run.outcome == "keep" for run in runs) <= 9


@pytest.mark.parametrize("requests", [0, 4])
def test_too_little_traffic_is_not_enough_data(requests: int) -> None:
    verdict = judge([Block(on, requests, 0.01 if on else 0.05) for on in plan(16, 1)])
    assert verdict.outcome == "not_enough_data"
    assert verdict.improvement is None


def test_a_quiet_block_takes_its_pair_with_it() -> None:
    blocks = [Block(on, 0 if i == 2 else 50, 0.01 if on else 0.05) for i, on in enumerate(plan(8, 1))]
    assert judge(blocks).pairs == 3


@given(st.integers(1, 60), st.integers(0, 2**32))
def test_every_pair_of_blocks_has_one_of_each(blocks: int, seed: int) -> None:
    planned = plan(blocks, seed)
    assert len(planned) >= max(blocks, 2 * Gates().min_pairs)
    assert all(first != second for first, second in zip(planned[::2], planned[1::2], strict=True))
    assert planned == plan(blocks, seed)


@pytest.mark.parametrize("seed", range(8))
def test_blocks_alternate_and_half_of_the_pairs_are_turned_round(seed: int) -> None:
    """A job that comes with every other block, or every fourth, is as often on as off: it moves nothing."""
    planned = plan(16, seed)
    assert sum(one == other for one, other in pairwise(planned)) in (1, 2)
    for pattern in ((1.0, 0.0), (1.0, 1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)):
        load = [pattern[number % len(pattern)] for number in range(16)]
        assert sum(load[i] for i in range(16) if planned[i]) == sum(load) / 2
        blocks = [Block(on, 100, 0.05 + 0.02 * extra) for on, extra in zip(planned, load, strict=True)]
        assert judge(blocks).outcome == "roll_back"


def test_trials_at_the_same_time_have_blocks_of_their_own() -> None:
    """Else each would take the effect of the other for its own."""
    plans = [plan(16, seed, alone=False) for seed in range(100)]
    assert len(set(plans)) > 50
    assert all(sum(plan[::2]) == 4 for plan in plans), "half of the pairs begin with it"
    alike = [sum(one == other for one, other in zip(plans[0], plan, strict=True)) for plan in plans[1:]]
    assert 7 < sum(alike) / len(alike) < 9


def test_the_order_is_random() -> None:
    plans = [plan(20, seed) for seed in range(200)]
    assert len(set(plans)) == 10
    assert all(60 < sum(block) < 140 for block in zip(*plans, strict=True))


@pytest.mark.parametrize(
    ("p", "df", "t"),
    [(0.975, 1, 12.706), (0.99, 2, 6.965), (0.99, 3, 4.541), (0.975, 4, 2.776), (0.99, 7, 2.998)],
)
def test_quantiles_of_student_are_those_of_the_tables(p: float, df: int, t: float) -> None:
    assert t_quantile(p, df) == pytest.approx(t, abs=6e-4)


@given(st.floats(0.001, 0.999), st.integers(1, 60))
def test_quantile_and_distribution_are_inverse(p: float, df: int) -> None:
    assert t_cdf(t_quantile(p, df), df) == pytest.approx(p, abs=1e-9)


def test_student_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="degrees of freedom"):
        t_cdf(1.0, 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        t_quantile(1.0, 3)


def test_how_near_to_nothing_a_cache_comes_is_no_noise() -> None:
    """Hits take nothing; the few misses of a block differ by chance."""
    random = Random(9)
    verdicts = []
    for seed in range(40):
        blocks = [
            Block(on, 20, 0.05 * (random.choice((0.005, 0.05, 0.1, 0.2)) if on else random.uniform(0.8, 1.2)))
            for on in plan(12, seed)
        ]
        verdicts.append(judge(blocks))
    assert sum(verdict.outcome == "keep" for verdict in verdicts) >= 38
    assert all(verdict.improvement == pytest.approx(0.91, abs=0.08) for verdict in verdicts)
