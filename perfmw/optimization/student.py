"""Student's t distribution for whole degrees of freedom (Abramowitz & Stegun, 26.7.3 and 26.7.4)."""

from __future__ import annotations

import math
from functools import lru_cache


def t_cdf(t: float, df: int) -> float:
    """P(T <= t). ``df`` is at least 1; raises ValueError otherwise."""
    if df < 1:
        raise ValueError(f"degrees of freedom must be at least 1, not {df}")
    return 0.5 + math.copysign(_within(abs(t), df) / 2, t)


@lru_cache(maxsize=256)
def t_quantile(p: float, df: int) -> float:
    """The t with P(T <= t) = p, for 0 < p < 1. Raises ValueError outside."""
    if not 0 < p < 1:
        raise ValueError(f"a probability between 0 and 1 is needed, not {p}")
    low, high = -1.0, 1.0
    while t_cdf(low, df) > p:
        low *= 2
    while t_cdf(high, df) < p:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2


def _within(t: float, df: int) -> float:
    """P(|T| <= t) by the finite series in cos² of the angle atan(t / sqrt(df))."""
    angle = math.atan2(t, math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    if df == 1:
        return 2 * angle / math.pi
    odd = df % 2
    term = total = cosine if odd else 1.0
    for k in range(3 if odd else 2, df - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    if odd:
        return 2 / math.pi * (angle + sine * total)
    return sine * total
