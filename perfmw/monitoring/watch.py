"""One monitoring session's look at a profile."""

from __future__ import annotations

from collections.abc import Sequence

from perfmw.contracts import Alert, PerformanceProfile
from perfmw.monitoring.degradation import Finding, Tolerances, degradations

_GONE_AFTER = 2


class ProfileWatch:
    """Called with a profile and the time at every sample; returns the alerts newly raised by it.

    A session asks rarely (at the profile's frequency), so one sighting is enough to raise, and what was away
    in two samples is over.
    """

    def __init__(self, tolerances: Tolerances | None = None) -> None:
        self._tolerances = tolerances
        self._away: dict[str, int] = {}

    def __call__(self, profile: PerformanceProfile, now: float) -> Sequence[Alert]:
        return self.raised(degradations(profile, self._tolerances), now)

    def raised(self, findings: Sequence[Finding], now: float) -> list[Alert]:
        """An alert for each finding that was not there before."""
        present = {finding.key: finding for finding in findings}
        new = [finding for key, finding in present.items() if key not in self._away]
        away = {key: missed + 1 for key, missed in self._away.items() if key not in present}
        self._away = {key: missed for key, missed in away.items() if missed < _GONE_AFTER}
        self._away.update(dict.fromkeys(present, 0))
        return [_alert(finding, now) for finding in new]


def _alert(finding: Finding, now: float) -> Alert:
    return Alert(
        key=finding.key,
        type=finding.type,
        severity=finding.severity,
        message=finding.message,
        target=finding.target,
        raised_at=now,
        details=dict(finding.details),
    )
