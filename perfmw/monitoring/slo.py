"""Service level objectives: how fast the error budget burns, in a long and a short window at once. Pure.

After "Alerting on SLOs" of Google's Site Reliability Workbook, chapter 5 (multiwindow, multi-burn-rate).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from perfmw.monitoring.degradation import Finding, Severity


@dataclass(frozen=True, slots=True)
class Burn:
    """Alert when both windows (seconds) burn the budget ``rate`` times as fast as it may be burnt."""

    long: float
    short: float
    rate: float
    severity: Severity


BURNS: Final[Sequence[Burn]] = (
    Burn(3600.0, 300.0, 14.4, "high"),
    Burn(21_600.0, 1800.0, 6.0, "high"),
    Burn(86_400.0, 7200.0, 3.0, "medium"),
)
"""2% of a month's budget within an hour, 5% within six hours, 10% within a day."""
LEAST_BAD: Final = 10
"""Fewer bad requests in the long window say nothing."""

Counted = Callable[[float], tuple[int, int]]
"""(requests, bad ones) of the last so many seconds."""


def burning(
    profile_id: str, name: str, objective: float, counted: Counted, age: float, *, what: str = "availability"
) -> Finding | None:
    """The most severe burn of the budget that ``objective`` (0.999 = one request in a thousand) leaves.

    What a window covers of the time before the profile, ``age`` seconds ago, burnt nothing.

    :param what: ``availability`` (bad is an error) or ``latency`` (bad is too slow).
    :raises ValueError: the objective is not within 0 and 1, without its ends.
    """
    if not 0.0 < objective < 1.0:
        raise ValueError(f"an objective is a share above 0 and below 1, not {objective!r}")
    for burn in BURNS:
        requests, bad = counted(burn.long)
        if bad < LEAST_BAD:
            continue
        long = _rate(requests, bad, objective) * min(1.0, age / burn.long)
        short = _rate(*counted(burn.short), objective)
        if long >= burn.rate and short >= burn.rate:
            return _finding(profile_id, name, objective, what, burn, (long, short), (requests, bad))
    return None


def _rate(requests: int, bad: int, objective: float) -> float:
    return bad / requests / (1.0 - objective) if requests else 0.0


def _finding(
    profile_id: str,
    name: str,
    objective: float,
    what: str,
    burn: Burn,
    rates: tuple[float, float],
    counts: tuple[int, int],
) -> Finding:
    wrong = "failed" if what == "availability" else "took too long"
    message = (
        f"{name}: {counts[1]} of {counts[0]} requests in {_span(burn.long)} {wrong}; the error budget of "
        f"{objective:.5g} burns {rates[0]:.1f} times as fast as it may"
    )
    details = {"value": rates[0], "limit": burn.rate, "short": rates[1], "objective": objective}
    details |= {"requests": counts[0], "bad": counts[1], "window": burn.long}
    return Finding(f"{profile_id}:slo:{what}", "slo_burn", burn.severity, message, name, details)


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.0f} h"
