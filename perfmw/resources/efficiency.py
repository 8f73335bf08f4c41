"""Resource efficiency: one number 0..1 for how much of the machine works without standing in its own way.

A pool is fully efficient while it has headroom: 1 up to a utilisation of 0.8, falling linearly to 0 at
1.0, where every further unit of work only waits (queueing delay grows as 1 / (1 - utilisation)). What a
pool reports as saturation (work that waits or is lost) is taken off as a share. The whole is the mean over
all pools that know their utilisation or saturation. Idle capacity is not held against it: how much of it
is never used is ``waste`` of the resource manager.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from perfmw.contracts.resources import PoolSample

COMFORTABLE: Final = 0.8


def pool_efficiency(sample: PoolSample) -> float | None:
    """0..1 for one pool; None where it knows neither utilisation nor saturation."""
    if sample.utilization is None and sample.saturation is None:
        return None
    headroom = 1.0
    if sample.utilization is not None and sample.utilization > COMFORTABLE:
        headroom = max(0.0, (1.0 - sample.utilization) / (1.0 - COMFORTABLE))
    return headroom * (1.0 - min(1.0, max(0.0, sample.saturation or 0.0)))


def efficiency(samples: Iterable[PoolSample]) -> float | None:
    """0..1 over all pools of ``samples``; None where none of them can tell."""
    known = [one for one in map(pool_efficiency, samples) if one is not None]
    return sum(known) / len(known) if known else None
