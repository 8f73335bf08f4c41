"""How many workers will be needed: from a forecast of the request rate, slow on the way down. Pure."""

from __future__ import annotations

from collections import deque
from math import ceil, isfinite
from typing import Final

from perfmw.contracts import ScaleAdvice

COMFORTABLE: Final = 0.7
"""The share of a core that a worker uses at most when it serves comfortably."""
_LEAST_USE: Final = 0.02
_SAMPLES: Final = 60


class Capacity:
    """What one worker serves comfortably, in requests a second, by what a request costs in CPU time.

    The costliest of the last 60 busy minutes but a tenth counts, so that one odd minute does not.
    """

    def __init__(self) -> None:
        self._costs: deque[float] = deque(maxlen=_SAMPLES)

    def update(self, rate: float, cores: float) -> None:
        """A minute in which a worker served ``rate`` requests a second with ``cores`` of CPU."""
        if rate > 0.0 and cores >= _LEAST_USE:
            self._costs.append(cores / rate)

    @property
    def value(self) -> float | None:
        """None before there was a busy minute."""
        if not self._costs:
            return None
        return COMFORTABLE / sorted(self._costs)[int(0.9 * (len(self._costs) - 1))]


class Scaler:
    """Advice on the number of workers: up at once, down when less has been enough for ``patience`` seconds.

    Those there are at the first advice count as needed then: a process that has just begun knows too little
    of its load to send others home.

    :param horizon: seconds ahead that the forecasts are for.
    """

    def __init__(self, horizon: float = 3600.0, patience: float = 1800.0) -> None:
        self._horizon, self._patience = horizon, patience
        self._needs: deque[tuple[float, int]] = deque(maxlen=1000)
        self._wanted: int | None = None

    def advise(self, now: float, current: int, rate: float, expected: float, capacity: float) -> ScaleAdvice:
        """What is wanted at ``now + horizon``.

        :param rate: requests a second now. :param expected: the most to be expected then.
        :param capacity: requests a second that one worker serves comfortably.
        """
        need = max(rate, expected) if isfinite(expected) else rate
        count = max(1, ceil(need / capacity - 1e-9))
        if self._wanted is None:
            self._wanted = current
            self._needs.append((now, current))
        self._needs.append((now, count))
        while self._needs[0][0] < now - self._patience:
            self._needs.popleft()
        wanted = count
        if count < self._wanted:
            wanted = min(self._wanted, max(one for _, one in self._needs))
        self._wanted = wanted
        return ScaleAdvice(
            now + self._horizon, current, wanted, self._reason(rate, expected, capacity, wanted)
        )

    def _reason(self, rate: float, expected: float, capacity: float, wanted: int) -> str:
        ahead = (
            f"up to {expected:.1f} are expected" if isfinite(expected) else "how it goes on is not known yet"
        )
        text = (
            f"{rate:.1f} requests a second now, {ahead} in {self._horizon / 60:.0f} minutes; "
            f"a worker serves {capacity:.1f} comfortably"
        )
        lately = self._needs[-1][1]
        if wanted > lately:
            text += f"; {lately} would do, but that has to hold for {self._patience / 60:.0f} minutes"
        return text
