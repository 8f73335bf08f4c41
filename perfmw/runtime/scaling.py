"""The forecast at work: the request rate minute by minute, and what it says about the number of workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict
from math import isfinite
from statistics import fmean
from typing import TYPE_CHECKING, Any

from perfmw.contracts import ResourceUsageMetrics, ScaleAdvice
from perfmw.resources.forecast import Forecaster
from perfmw.resources.scaling import Capacity, Scaler

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime

MINUTE = 60.0
HORIZON = 3600.0
_ROUNDING = 3
_SLOT = 300.0
_SLOTS = 2_880
"""Ten days: a forecast learns from as many values."""


class Rates:
    """The rate of requests in means of five minutes: what a forecast has to know after a restart."""

    def __init__(self) -> None:
        self.means: deque[tuple[float, float]] = deque(maxlen=_SLOTS)
        self._slot: list[tuple[float, float]] = []

    def add(self, now: float, rate: float) -> None:
        self._slot.append((now, rate))
        if now - self._slot[0][0] >= _SLOT - MINUTE:
            self.means.append((now, fmean(rate for _, rate in self._slot)))
            self._slot.clear()


class Scaling:
    """What of the host's requests is foreseen. One update a minute; memory is bounded."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._forecaster = Forecaster()
        self.rates = Rates()
        self._capacity = Capacity()
        self._scaler = Scaler(HORIZON)
        self._at: float | None = None
        self._seen = 0
        self._cpu: float | None = None
        self._rate: float | None = None
        self.advice: ScaleAdvice | None = None

    def tick(self, now: float, used: ResourceUsageMetrics) -> None:
        """Once a round; does something once a minute. The other workers are taken to have as much to do."""
        if self._at is not None and now - self._at < MINUTE:
            return
        count = sum(one.requests for one in self._runtime.profiles.counts().values())
        cpu = used.cpu_seconds
        if self._at is not None and count >= self._seen:
            seconds = now - self._at
            self._minute(now, (count - self._seen) / seconds, self._cores(cpu, seconds))
        self._at, self._seen, self._cpu = now, count, cpu

    def restore(self, means: Iterable[tuple[float, float]]) -> None:
        """Go on with the rates (unix seconds, requests a second) of before a restart; learning takes a while.

        :raises TypeError, ValueError: for what is no such list.
        """
        learnt, rates = Forecaster(), Rates()
        for at, rate in means:
            learnt.update(at, rate)
            rates.means.append((at, rate))
        learnt.forecast(HORIZON)
        self._forecaster, self.rates = learnt, rates

    def _cores(self, cpu: float | None, seconds: float) -> float:
        return (cpu - self._cpu) / seconds if cpu is not None and self._cpu is not None else 0.0

    def _minute(self, now: float, rate: float, cores: float) -> None:
        workers = self._workers()
        self._capacity.update(rate, cores)
        rate = self._rate = rate * workers
        self._forecaster.update(now, rate)
        self.rates.add(now, rate)
        capacity = self._runtime.settings.forecast_capacity or self._capacity.value
        if capacity is None:
            return
        advice = self._scaler.advise(now, workers, rate, self._most(), capacity)
        known, self.advice = self.advice, advice
        changed = known is None or known.wanted != advice.wanted
        if changed and (known is not None or advice.wanted != workers) and self._runtime.leads:
            self._runtime.plugins.fire("perfmw_scale_advice", advice=advice)

    def _most(self) -> float:
        """The upper end of what is expected in an hour, as far as it can be told."""
        _, high = self._forecaster.interval(HORIZON)
        return high if isfinite(high) else self._forecaster.forecast(HORIZON)

    def _workers(self) -> int:
        sharing = self._runtime.sharing
        return 1 + (len(sharing.peers) if sharing is not None else 0)

    def state(self) -> dict[str, Any]:
        """The rate (requests a second), its forecast an hour ahead and the advice, as JSON values.

        ``wanted`` is always a number, for autoscalers: the workers there are, as long as there is no advice.
        """
        wanted = self.advice.wanted if self.advice is not None else self._workers()
        if self._rate is None:
            unknown = {"rate": None, "horizon": HORIZON, "expected": None, "interval": None}
            return {**unknown, "advice": None, "wanted": wanted}
        low, high = self._forecaster.interval(HORIZON)
        return {
            "rate": round(self._rate, _ROUNDING),
            "horizon": HORIZON,
            "expected": round(self._forecaster.forecast(HORIZON), _ROUNDING),
            "interval": [round(low, _ROUNDING), round(high, _ROUNDING)] if isfinite(high) else None,
            "capacity": self._runtime.settings.forecast_capacity or self._capacity.value,
            "advice": asdict(self.advice) if self.advice is not None else None,
            "wanted": wanted,
        }
