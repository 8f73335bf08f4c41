"""How many requests at once: from what a window of requests measured to the next limit. Pure.

All three compare how long requests take now with how long they take when nothing waits: what is above is
waiting.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log10, sqrt
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class Window:
    """What a window of requests measured.

    ``latency``: their mean, in seconds. ``unloaded``: what it is when nothing waits. ``in_flight``: the most
    that were under way at once. ``dropped``: whether one failed for want of capacity (a time-out, a 503 of
    what is behind).
    """

    latency: float
    unloaded: float
    in_flight: int
    dropped: bool = False


class LimitAlgorithm(Protocol):
    """The next limit after a window, not yet bounded to what is allowed."""

    def next(self, limit: float, window: Window) -> float: ...


def _unused(limit: float, window: Window) -> bool:
    """Latency says nothing about a limit that is far from being reached."""
    return window.in_flight < limit / 2.0


class Gradient:
    """The limit times unloaded over present latency, plus room for a queue of the limit's square root.

    After the gradient controller of Envoy's adaptive concurrency filter.

    :param tolerance: how many times the unloaded latency is all right.
    :param headroom: the queue that is probed for, in square roots of the limit.
    :param smoothing: the weight of the new limit. Where requests take more than about twice what they should
        and more than a few are let in, the new limit holds at once: each window of an overload is its length
        late. A limit of a few would swing between too little and too much.
    """

    _LEAST: Final = 0.5
    _FEW: Final = 8.0

    def __init__(self, tolerance: float = 1.1, headroom: float = 0.75, smoothing: float = 0.5) -> None:
        self._tolerance, self._headroom, self._smoothing = tolerance, headroom, smoothing

    def next(self, limit: float, window: Window) -> float:
        if window.dropped:
            return limit * (1.0 - self._smoothing * self._LEAST)
        gradient = max(self._LEAST, min(1.0, self._tolerance * window.unloaded / window.latency))
        aim = limit * gradient + self._headroom * sqrt(limit)
        if aim > limit and _unused(limit, window):
            return limit
        at_once = gradient <= self._LEAST and limit >= self._FEW
        return aim if at_once else limit + self._smoothing * (aim - limit)


class Vegas:
    """Raises the limit while the estimated queue is short, lowers it when it is long.

    After TCP Vegas (Brakmo and Peterson, 1995), as in Netflix's concurrency-limits: the queue is
    ``limit * (1 - unloaded / latency)``.
    """

    _SHORT: Final = 1.0
    _LONG: Final = 2.0

    def next(self, limit: float, window: Window) -> float:
        step = max(1.0, log10(limit))
        queue = limit * (1.0 - window.unloaded / max(window.latency, window.unloaded))
        if window.dropped or queue > self._LONG * step:
            return limit - step
        if queue < self._SHORT * step and not _unused(limit, window):
            return limit + step
        return limit


class Aimd:
    """One more while latency is within ``tolerance`` times the unloaded; else ``back_off`` times as many."""

    def __init__(self, tolerance: float = 2.0, back_off: float = 0.9) -> None:
        self._tolerance, self._back_off = tolerance, back_off

    def next(self, limit: float, window: Window) -> float:
        if window.dropped or window.latency > self._tolerance * window.unloaded:
            return limit * self._back_off
        return limit if _unused(limit, window) else limit + 1.0
