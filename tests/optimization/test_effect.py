"""How often the effect of nothing is called one, on noise that is not kind."""

from __future__ import annotations

import math
from random import Random

import pytest

from perfmw.optimization.effect import effect_of
from perfmw.optimization.experiment import Block, judge, plan
from tests.optimization.load import NOISES


def series(kind: str, random: Random, blocks: int, effect: float = 0.0) -> list[Block]:
    order = plan(blocks, random.getrandbits(32))
    levels = NOISES[kind](random, blocks)
    return [
        Block(on, 400, 0.05 * math.exp(level) * (1 - effect if on else 1))
        for on, level in zip(order, levels, strict=True)
    ]


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("blocks", [6, 16])
def test_nothing_is_hardly_ever_claimed(kind: str, blocks: int) -> None:
    random = Random(f"{kind} {blocks}")
    runs = [judge(series(kind, random, blocks)) for _ in range(300)]
    assert sum(run.outcome == "keep" or "got worse" in run.reason for run in runs) <= 6


def test_a_fifth_is_found_on_a_level_that_wanders() -> None:
    random = Random(2)
    runs = [judge(series("correlated", random, 16, effect=0.2)) for _ in range(200)]
    assert sum(run.outcome == "keep" for run in runs) >= 160


def test_an_effect_without_noise_is_itself() -> None:
    on = [bool(number % 2) for number in range(8)]
    found = effect_of([2.0 + 0.5 * one for one in on], on)
    assert found.mean == pytest.approx(0.5)
    assert found.quantile(0.995) == pytest.approx(0.5, abs=1e-6)


def test_quantiles_are_the_probabilities_turned_round() -> None:
    random = Random(3)
    on = plan(12, 1)
    found = effect_of([random.gauss(0, 1) + one for one in on], on)
    for p in (0.005, 0.1, 0.5, 0.9, 0.995):
        assert found.below(found.quantile(p)) == pytest.approx(p, abs=1e-6)
    assert math.fsum(fit.weight for fit in found.fits) == pytest.approx(1.0)
