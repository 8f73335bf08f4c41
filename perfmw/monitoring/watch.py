"""One monitoring session's look at a profile."""

from __future__ import annotations

from collections.abc import Sequence

from perfmw.contracts import Alert, PerformanceProfile
from perfmw.monitoring.alerts import AlertManager
from perfmw.monitoring.degradation import Tolerances, degradations


class ProfileWatch:
    """Called with a profile and the time at every sample; returns the alerts newly raised by it.

    A session asks rarely (at the profile's frequency), so one sighting is enough to raise.
    """

    def __init__(self, tolerances: Tolerances | None = None) -> None:
        self._tolerances = tolerances
        self._manager = AlertManager(raise_after=1, resolve_after=2)

    def __call__(self, profile: PerformanceProfile, now: float) -> Sequence[Alert]:
        known = {alert.key for alert in self._manager.open()}
        told = self._manager.update(degradations(profile, self._tolerances), now)
        return [alert for alert in told if alert.key not in known]
