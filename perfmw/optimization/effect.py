"""The effect of what was on in some blocks of time and off in others, on a level that wanders by itself.

Neighbouring blocks resemble each other, how much is not known. So the level is an autoregressive process: for
each of some correlations a generalised least squares fit gives an effect and its standard error, and the fits
are weighed by their restricted likelihood (Harville, "Maximum likelihood approaches to variance component
estimation", JASA 1977). What is said of the effect is the mixture of their t distributions. A fit that may
choose its correlation is surer than it should be; fewer degrees of freedom make up for it, so many that of
trials without a change one in a hundred at most claims one: on noise that is independent or correlated, that
drifts, jumps, or comes in bursts.

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from perfmw.optimization.student import t_cdf

CORRELATIONS = (0.0, 0.0, 0.0, 0.2, 0.4, 0.6, 0.8, 0.95)
"""Of a block with the next; as likely beforehand as it stands here often."""
_LEAST = 1e-18
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Fit:
    """``weight``: how probable its correlation is; ``effect`` and ``error`` in the unit of the values."""

    weight: float
    effect: float
    error: float


@dataclass(frozen=True, slots=True)
class Effect:
    """What was added where it was on."""

    fits: Sequence[Fit]
    freedom: int

    @property
    def mean(self) -> float:
        return math.fsum(fit.weight * fit.effect for fit in self.fits)

    def below(self, value: float) -> float:
        """The probability that the effect is below ``value``."""
        return math.fsum(
            fit.weight * t_cdf((value - fit.effect) / fit.error, self.freedom) for fit in self.fits
        )

    def quantile(self, p: float) -> float:
        """The value below which the effect is with probability ``p``, 0 < p < 1."""
        reach = max(abs(fit.effect - self.mean) + fit.error for fit in self.fits)
        low, high = self.mean - reach, self.mean + reach
        while self.below(low) > p:
            low -= 2 * (self.mean - low)
        while self.below(high) < p:
            high += 2 * (high - self.mean)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.below(middle) < p else (low, middle)
        return (low + high) / 2


def effect_of(values: Sequence[float], on: Sequence[bool]) -> Effect:
    """The effect in a series of blocks, at least 6 of them, some on and some off."""
    raw = [_fit(values, on, correlation) for correlation in CORRELATIONS]
    highest = max(likelihood for likelihood, _, _ in raw)
    weights = [math.exp(likelihood - highest) for likelihood, _, _ in raw]
    total = math.fsum(weights)
    fits = [
        Fit(weight / total, effect, error) for weight, (_, effect, error) in zip(weights, raw, strict=True)
    ]
    return Effect(fits, len(values) // 2)


def _fit(values: Sequence[float], on: Sequence[bool], correlation: float) -> tuple[float, float, float]:
    """The logarithm of the restricted likelihood (but for a constant), the effect, and its standard error."""
    scale = math.sqrt(1 - correlation**2)
    level = [1.0, *[(1 - correlation) / scale] * (len(values) - 1)]
    state = _whitened([float(one) for one in on], correlation, scale)
    seen = _whitened(values, correlation, scale)
    aa, ab, bb = _dot(level, level), _dot(level, state), _dot(state, state)
    ay, by = _dot(level, seen), _dot(state, seen)
    determinant = aa * bb - ab * ab
    effect = (aa * by - ab * ay) / determinant
    base = (ay - ab * effect) / aa
    left = [y - base * a - effect * b for y, a, b in zip(seen, level, state, strict=True)]
    rest, freedom = max(_dot(left, left), _LEAST), len(values) - 2
    likelihood = -(len(values) - 1) * math.log(scale) - (math.log(determinant) + freedom * math.log(rest)) / 2
    return likelihood, effect, math.sqrt(rest / freedom * aa / determinant)


def _whitened(values: Sequence[float], correlation: float, scale: float) -> list[float]:
    later = [(b - correlation * a) / scale for a, b in pairwise(values)]
    return [values[0], *later]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))
