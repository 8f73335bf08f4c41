"""Does a change on trial do harm? Asked again and again while it runs, without the asking costing anything.

A test that is asked many times must not be a test for one look: with enough looks it cries wolf for sure.
Here each guardrail is an e-process: a bet against "the change makes it no worse than allowed", whose stake
can be expected not to grow as long as that is so, whenever one stops to look (Ville's inequality: it ever
exceeds ``1 / alpha`` with a probability of at most ``alpha``; Ramdas et al., "Game-theoretic statistics and
safe anytime-valid inference", Statistical Science 2023). The bet is a Bayes factor of two Poisson rates whose
common scale is integrated out with the prior ``1/rate``, mixed over how much worse it may be. Events of live
traffic come in clumps, and the level of latency wanders, so the evidence is divided by the events' dispersion
between the windows of one side, of which little is known at first: that is weighed in with what is usual.

Pure: nothing here waits or measures.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from statistics import median_low

WORSE = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""How much worse than allowed the bets say it is."""
BLOCK = 4
"""Windows that are also looked at together."""
FREEDOM = 3
"""Degrees of freedom below which a dispersion is chance."""
ASSUMED = 6.0
"""As how many windows' evidence counts what is assumed of the dispersion."""
FIRST = 3.0
"""How many times the evidence a level that rose needs in the first block with the change: it wanders, too."""
CLEAR = -4.0
"""The evidence of harm, in nats, below which there is none to wait for."""
NO_WORSE, HIGHER = -1.0, 2.0
"""What raised an alarm was load if, of the next block without the change, the evidence that the one with it
was worse is at most ``NO_WORSE`` nats, and that this one is worse than those before it at least ``HIGHER``.
"""
LEAST_FOR_MEDIAN = 20
"""Requests in a window."""
MOST_MOVED = 1.5
"""What load may do to the median."""
FAR = 0.985
"""Which quantile moves with the median: the p99 of some thousand requests may be off by a third itself."""
_ROSE = "rose: {on:.1%} of requests took longer than it, {off:.1%} before"
_LATEST = 0.25
"""What a window weighs in the level of late."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a block: what was counted in it.

    ``slow``: requests beyond the usual p99; ``late``: beyond the usual p95; ``far``: beyond the usual ``FAR``
    quantile, if that moves as the window's median does (with the change not below where it is without);
    ``timed``: the requests for which slowness was judged; ``stale``: answers past their freshness;
    ``memory``: bytes that the process held, None where nobody knows.
    """

    on: bool
    requests: int
    errors: int = 0
    slow: int = 0
    timed: int = 0
    stale: int = 0
    memory: int | None = None
    late: int = 0
    far: int = 0


@dataclass(slots=True)
class Usual:
    """What was usual before the trial, in seconds, and where the level is of late without the change."""

    p99: float
    p95: float
    far: float
    median: float
    level: float = 1.0

    def limits(self, on: bool, requests: int, median: float) -> tuple[float, float, float]:
        """Beyond what a request of a window with this ``median`` is slow, late, and far (see Window)."""
        return self.p99, self.p95, self.far * self._moved(on, requests, median)

    def _moved(self, on: bool, requests: int, median: float) -> float:
        """How the level moved. What a change takes off it is not load, what it lost without one is."""
        if requests < LEAST_FOR_MEDIAN or self.median <= 0.0:
            return min(self.level, 1.0) if on else 1.0
        least = min(self.level, 1.0) if on else 1.0 / MOST_MOVED
        moved = min(max(median / self.median, least), MOST_MOVED)
        if not on:
            self.level *= (moved / self.level) ** _LATEST
        return moved


@dataclass(frozen=True, slots=True)
class Limits:
    """What a change may do while it is on trial.

    ``alpha``: how probably a harmless change is stopped, for each guardrail and however often it is asked.
    ``slow_ratio`` and ``late_ratio``: how many times as many requests may take longer than the usual p99, and
    p95: the shifts that load brings by itself from one block to the next are smaller. ``far_ratio``: the same
    beside the median, which shifts of the level do not touch.
    ``error_margin`` and ``stale_margin``: shares of requests that may fail or be answered stale beyond those
    without the change. ``memory_growth``: the share by which the process may grow, at least ``memory_bytes``.
    ``dispersion``: the least that events are taken to clump; ``wander``: how the rate of slow requests
    wanders while that is not known yet, see RateGuard; ``past``: the most requests of before the trial
    that count as a reference.
    """

    alpha: float = 0.002
    slow_ratio: float = 1.5
    late_ratio: float = 1.6
    far_ratio: float = 1.25
    error_ratio: float = 1.0
    error_margin: float = 0.01
    stale_margin: float = 0.05
    memory_growth: float = 0.25
    memory_bytes: int = 64 * 1024 * 1024
    memory_windows: int = 3
    dispersion: float = 1.0
    wander: float = 0.05
    past: int = 4_000


@dataclass(slots=True)
class RateGuard:
    """One kind of event on both sides. ``see`` windows, ask ``evidence`` at any time.

    :param ratio: the change may make events so many times as frequent,
    :param margin: and so frequent beside: a share of requests.
    :param least: the smallest dispersion that is assumed.
    :param wander: the square of the relative deviation of their rate from window to window, as assumed at
        first; such a guard leaves the worst stretch of windows out, since a pause of the process is no harm.
    """

    ratio: float = 1.0
    margin: float = 0.0
    least: float = 1.0
    wander: float = 0.0
    counts: dict[bool, list[tuple[int, int]]] = field(default_factory=lambda: {True: [], False: []})
    blocks: dict[bool, list[tuple[int, int]]] = field(default_factory=lambda: {True: [], False: []})
    before: tuple[float, float] = (0.0, 0.0)
    began: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})

    def begin(self, on: bool) -> None:
        """A block begins, with the change or without."""
        self.began[on] = len(self.counts[on])

    def lately(self) -> float:
        """The evidence of the latest block of each side alone."""
        return self._alone(self.counts[True][self.began[True] :], self.counts[False][self.began[False] :])

    def higher(self) -> float:
        """The evidence that the latest block without the change is worse than what was without it before."""
        off, began = self.counts[False], self.began[False]
        return self._alone(off[began:], off[:began], self.before)

    def _alone(
        self,
        seen: Sequence[tuple[int, int]],
        beside: Sequence[tuple[int, int]],
        before: tuple[float, float] = (0.0, 0.0),
    ) -> float:
        guard = RateGuard(self.ratio, self.margin, self.least, self.wander, before=before)
        for on, windows in ((True, seen), (False, beside)):
            for requests, events in windows:
                guard.see(on, requests, events)
        return guard.evidence()

    def forget(self) -> None:
        """Leave the latest block with the change out: it was not the change."""
        kept = self.counts[True][: self.began[True]]
        self.counts[True], self.blocks[True] = [], []
        for requests, events in kept:
            self.see(True, requests, events)

    def see(self, on: bool, requests: int, events: int) -> None:
        if requests <= 0:
            return
        seen, windows, blocks = (requests, min(events, requests)), self.counts[on], self.blocks[on]
        if len(windows) % BLOCK:
            seen_before = blocks.pop()
            blocks.append((seen_before[0] + seen[0], seen_before[1] + seen[1]))
        else:
            blocks.append(seen)
        windows.append(seen)

    def totals(self, on: bool) -> tuple[float, float]:
        """Requests and events; on the side without the change with those of before the trial."""
        requests, events = map(float, _sum(self.blocks[on]))
        return (requests, events) if on else (requests + self.before[0], events + self.before[1])

    @property
    def compares(self) -> bool:
        """Whether both sides were seen in this trial: of what was before, nobody knows today's load."""
        return bool(self.counts[True] and self.counts[False])

    def share(self, on: bool) -> float:
        requests, events = self.totals(on)
        return events / requests if requests else 0.0

    def evidence(self) -> float:
        """The natural logarithm of the e-value against "no worse than allowed"."""
        exposure, events = self._witnessed()
        usual_exposure, usual = self.totals(False)
        if not exposure or not self.compares:
            return 0.0
        usual += self.margin * usual_exposure
        allowed = self.ratio * exposure + usual_exposure
        dispersion = self.dispersion()
        logs = []
        for worse in WORSE:
            bet = self.ratio * worse * exposure + usual_exposure
            log = events * math.log(worse) + (events + usual) * math.log(allowed / bet)
            logs.append(log / dispersion)
        highest = max(logs)
        return highest + math.log(sum(math.exp(log - highest) for log in logs) / len(logs))

    def _witnessed(self) -> tuple[float, float]:
        """What counts of the side with the change."""
        exposure, events = self.totals(True)
        if not self.wander or not self.counts[True]:
            return exposure, events
        requests, worst = _worst_stretch(self.counts[True])
        return exposure - requests, events - worst

    def dispersion(self) -> float:
        """Variance over mean of the events of a window; 1 for Poisson counts.

        Of windows and of whole blocks, whichever is more: a level that wanders slowly shows in blocks alone.
        """
        looks = self.counts.values(), self.blocks.values()
        usual = self.share(False)
        if not self.wander:
            return max(self.least, *map(_clumps, looks))
        return max(self.least, *(_wandering(counts, usual, self.wander) for counts in looks))


def _sum(windows: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(n for n, _ in windows), sum(k for _, k in windows)


def _worst_stretch(windows: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Requests and events of the worst neighbouring windows: a quarter of all, a block at most."""
    length = min(max(1, len(windows) // BLOCK), BLOCK)
    stretches = (_sum(windows[first : first + length]) for first in range(len(windows) - length + 1))
    return max(stretches, key=lambda stretch: stretch[1] / stretch[0])


def _clumps(sides: Collection[Sequence[tuple[int, int]]]) -> float:
    """As events came, pooled within each side."""
    total, freedom = 0.0, 0
    for counts in sides:
        requests, events = _sum(counts)
        if len(counts) < 2 or not events:
            continue
        rate = events / requests
        total += sum((k - n * rate) ** 2 / (n * rate) for n, k in counts)
        freedom += len(counts) - 1
    return total / freedom if freedom >= FREEDOM else 0.0


def _wandering(sides: Collection[Sequence[tuple[int, int]]], usual: float, wander: float) -> float:
    """At the ``usual`` rate of events: what chance alone does not explain, pooled, with what is assumed."""
    excess, known = wander * ASSUMED, ASSUMED
    for counts in sides:
        requests, events = _sum(counts)
        if len(counts) < 2 or not events:
            continue
        expected = [n * events / requests for n, _ in counts]
        weights = [mean / (1.0 + mean) for mean in expected]
        for (_, k), mean, weight in zip(counts, expected, weights, strict=True):
            excess += weight * ((k - mean) ** 2 - mean) / mean**2
        known += max(sum(weights) - 1.0, 0.0)
    windows = [n for counts in sides for n, _ in counts]
    mean = usual * sum(windows) / len(windows) if windows else 0.0
    return 1.0 + mean * max(excess / known, 0.0)


class Guardrails:
    """Errors, slow requests, stale answers and memory of one trial.

    :param before: requests before the trial, how many of them were slow, late, and far.
    """

    def __init__(
        self, limits: Limits | None = None, before: tuple[int, int, int, int] = (0, 0, 0, 0)
    ) -> None:
        self._limits = limits = limits or Limits()
        self.errors = RateGuard(limits.error_ratio, limits.error_margin, limits.dispersion)
        self.stale = RateGuard(1.0, limits.stale_margin, limits.dispersion)
        self.slow = RateGuard(limits.slow_ratio, 0.0, limits.dispersion, limits.wander)
        self.late = RateGuard(limits.late_ratio, 0.0, limits.dispersion, limits.wander)
        self.far = RateGuard(limits.far_ratio, 0.0, limits.dispersion, limits.wander)
        self.reference(*before)
        self._rates = self.errors, self.stale, self.slow, self.late, self.far
        self._memory: dict[bool, list[int]] = {True: [], False: []}
        self._blocks = 0
        self._raised: RateGuard | None = None

    def begin(self, on: bool) -> None:
        """A block begins, with the change or without."""
        self._blocks += on
        for guard in self._rates:
            guard.begin(on)

    def was_load(self) -> bool | None:
        """Whether what raised the latest alarm went on in the block without the change that came after.

        None as long as that can not be told. Memory does not come back at once: of an alarm about it, nothing
        that comes after tells.
        """
        guard = self._raised
        if guard is None:
            return False
        lately, higher = guard.lately(), guard.higher()
        if lately <= NO_WORSE and higher >= HIGHER:
            return True
        return False if lately > 0.0 and higher < 0.0 else None

    def forget(self) -> None:
        """Leave the latest block with the change out: it was not the change."""
        for guard in self._rates:
            guard.forget()

    def reference(self, requests: int, slow: int, late: int, far: int) -> None:
        """How many requests were slow, late, and far, before the trial."""
        counted = min(requests, self._limits.past)
        for guard, events in ((self.slow, slow), (self.late, late), (self.far, far)):
            guard.before = (float(counted), events * counted / requests if requests else 0.0)

    def see(self, window: Window) -> None:
        self.errors.see(window.on, window.requests, window.errors)
        self.stale.see(window.on, window.requests, window.stale)
        self.slow.see(window.on, window.timed, window.slow)
        self.late.see(window.on, window.timed, window.late)
        self.far.see(window.on, window.timed, window.far)
        if window.memory is not None:
            self._memory[window.on].append(window.memory)

    def alarm(self) -> str | None:
        """Why the trial must stop now, or None; see ``was_load``. May be asked at any time."""
        needed, first = -math.log(self._limits.alpha), FIRST if self._blocks <= 1 else 1.0
        for guard, needs, words in (
            (self.errors, 1.0, "errors rose to {on:.1%} of requests from {off:.1%}"),
            (self.far, 1.0, f"p{100 * FAR:g} beside the median {_ROSE}"),
            (self.slow, first, f"p99 {_ROSE}"),
            (self.late, first, f"p95 {_ROSE}"),
            (self.stale, 1.0, "stale answers rose to {on:.1%} of requests from {off:.1%}"),
        ):
            if guard.evidence() >= needs * needed:
                self._raised = guard
                return words.format(on=guard.share(True), off=guard.share(False))
        self._raised = None
        return self._grown(self._memory[False], self._memory[True])

    def memory(self, on: bool) -> int | None:
        """Bytes held on one side, the median of its windows; None where nobody knows."""
        seen = self._memory[on]
        return median_low(seen) if seen else None

    def undecided(self) -> bool:
        """Whether harm to latencies may still come to light: it is neither shown nor improbable."""
        guards = self.far, self.slow, self.late
        return all(guard.compares for guard in guards) and any(guard.evidence() > CLEAR for guard in guards)

    def _grown(self, off: Sequence[int], on: Sequence[int]) -> str | None:
        limits = self._limits
        if not off or len(on) < limits.memory_windows:
            return None
        allowed = max(off) + max(limits.memory_bytes, limits.memory_growth * max(off))
        least = min(on[-limits.memory_windows :])
        if least <= allowed:
            return None
        return f"memory rose to {least / 2**20:.0f} MiB from {max(off) / 2**20:.0f} MiB"
