"""What concerns all requests: one call of the app for those who come together, tracing, and access logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from perfmw.contracts import OptimizationOpportunity, PotentialOptimization, RuntimeSnapshot
from perfmw.optimization.cache_route import DAY
from perfmw.optimization.host import EVERYTHING
from perfmw.optimization.option import Found, OptionOptimizer, requests_a_second, seconds_a_day

SAMPLES_A_SECOND = 20.0
"""More traced requests, or lines, than that tell nothing new about where time goes, or who comes."""
SPAN_SECONDS, LINE_SECONDS = 0.0002, 0.00005
"""What the spans of one request take, and a line of a log, about; the trial measures what it is here."""
LEAST_REQUESTS = 1_000
"""Before them a rate is chance."""
LEAST_MISSES = 200


class SwitchOptimizer(OptionOptimizer):
    """Coalescing where it is off, and a lower share of traced or logged requests where many are.

    Failures are logged all the same, and traced as ``trace_slow`` says. All can be switched on live traffic,
    and are kept only if all requests together become faster.
    """

    name = "switches"

    def __init__(self) -> None:
        self._kinds: Sequence[Callable[[RuntimeSnapshot], Found]] = (
            self._coalescing,
            self._spans,
            self._lines,
        )

    def _found(self, snapshot: RuntimeSnapshot) -> Found:
        for kind in self._kinds:
            yield from kind(snapshot)

    def _coalescing(self, snapshot: RuntimeSnapshot) -> Found:
        if snapshot.options.get("coalesce") is not False:
            return
        hits, misses = (snapshot.cache_status.get(word, 0) for word in ("hit", "uri-miss"))
        if misses < LEAST_MISSES or not hits:
            missing = f"too little is kept: {misses} misses of {LEAST_MISSES} needed, {hits} hits"
            yield PotentialOptimization("coalescing", EVERYTHING, missing)
            return
        share = 0.1 * misses / (hits + misses)  # a guess that only ranks it
        yield OptimizationOpportunity(
            "switches:coalesce",
            "coalescing",
            EVERYTHING,
            "Ask the app once for those who want the same at the same time",
            self.name,
            {"option": "coalesce", "value": True, "before": False},
            {"hits": hits, "misses": misses},
            expected_gain=share,
            saved_seconds_per_day=share * seconds_a_day(snapshot),
        )

    def _spans(self, snapshot: RuntimeSnapshot) -> Found:
        said = "Trace {:.2%} of the requests instead of {:.2%}"
        return self._sampling(snapshot, "trace_ratio", "span_sampling", said, SPAN_SECONDS)

    def _lines(self, snapshot: RuntimeSnapshot) -> Found:
        said = "Log {:.2%} of the requests instead of {:.2%}, failures always"
        return self._sampling(snapshot, "access_log_ratio", "log_sampling", said, LINE_SECONDS)

    def _sampling(
        self, snapshot: RuntimeSnapshot, option: str, kind: str, said: str, seconds: float
    ) -> Found:
        """A lower ``option`` if so many are sampled that ``seconds`` each add up; ``said`` is its title."""
        ratio = float(snapshot.options.get(option) or 0.0)
        count = sum(one.metrics.throughput.count for one in snapshot.profiles if one.type == "component")
        rate = requests_a_second(snapshot)
        if ratio <= 0.0:
            return
        if count < LEAST_REQUESTS:
            yield PotentialOptimization(kind, EVERYTHING, f"{count:,} requests of {LEAST_REQUESTS:,} needed")
            return
        if ratio * rate <= 2 * SAMPLES_A_SECOND:
            yield PotentialOptimization(kind, EVERYTHING, f"few are: {ratio * rate:.3g} requests a second")
            return
        value = round(SAMPLES_A_SECOND / rate, 6)
        saved = (ratio - value) * rate * seconds * DAY
        yield OptimizationOpportunity(
            f"switches:{option}:{value:g}",
            kind,
            EVERYTHING,
            said.format(value, ratio),
            self.name,
            {"option": option, "value": value, "before": ratio},
            {"requests_a_second": rate, "sampled_a_second": ratio * rate},
            expected_gain=min(1.0, saved / max(seconds_a_day(snapshot), 1e-9)),
            saved_seconds_per_day=saved,
            level="advanced",
        )
