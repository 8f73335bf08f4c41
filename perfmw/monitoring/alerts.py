"""From findings to alerts: one incident, one alert and its updates."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from perfmw.contracts import Alert
from perfmw.monitoring.degradation import Finding


@dataclass(slots=True)
class _Incident:
    finding: Finding
    seen: int = 0
    missed: int = 0
    alert: Alert | None = None


class AlertManager:
    """Raises, updates and resolves alerts. Pure: every call is told the time.

    An alert is raised when a finding was there in ``raise_after`` rounds running, and resolved when it was
    away for ``resolve_after`` rounds running; in between, flapping tells nobody anything. An update is
    told when the severity changes. Beyond ``max_open`` incidents new findings are counted in ``dropped``.
    """

    def __init__(
        self, *, raise_after: int = 2, resolve_after: int = 3, max_open: int = 200, history: int = 500
    ) -> None:
        if min(raise_after, resolve_after, max_open) < 1:
            raise ValueError("raise_after, resolve_after and max_open must be at least 1")
        self.dropped = 0
        self._raise_after = raise_after
        self._resolve_after = resolve_after
        self._max_open = max_open
        self._incidents: dict[str, _Incident] = {}
        self._past: deque[Alert] = deque(maxlen=history)

    def update(self, findings: Iterable[Finding], now: float, *, target: str | None = None) -> list[Alert]:
        """One round of findings; returns the alerts to send: raised, updated or resolved.

        :param target: the round looked at this target alone; others are left as they are.
        """
        present = {finding.key: finding for finding in findings}
        away = [
            key
            for key, incident in self._incidents.items()
            if key not in present and target in (None, incident.finding.target)
        ]
        # what is over makes room for what is new
        told = [self._away(key, now) for key in away]
        told += [self._present(finding, now) for finding in present.values()]
        return [alert for alert in told if alert is not None]

    def open(self) -> list[Alert]:
        """The alerts that are not resolved, the oldest first."""
        alerts = [incident.alert for incident in self._incidents.values() if incident.alert is not None]
        return sorted(alerts, key=lambda alert: alert.raised_at)

    def recent(self) -> list[Alert]:
        """Resolved alerts, the oldest first, then the open ones."""
        return [*self._past, *self.open()]

    def _present(self, finding: Finding, now: float) -> Alert | None:
        incident = self._incidents.get(finding.key)
        if incident is None:
            if len(self._incidents) >= self._max_open:
                self.dropped += 1
                return None
            incident = self._incidents[finding.key] = _Incident(finding)
        changed = incident.finding.severity != finding.severity
        incident.finding = finding
        incident.seen += 1
        incident.missed = 0
        if incident.alert is None:
            return self._raise(incident, now) if incident.seen >= self._raise_after else None
        incident.alert = _alert(finding, incident.alert.raised_at)
        return incident.alert if changed else None

    def _raise(self, incident: _Incident, now: float) -> Alert:
        incident.alert = _alert(incident.finding, now)
        return incident.alert

    def _away(self, key: str, now: float) -> Alert | None:
        incident = self._incidents[key]
        incident.missed += 1
        if incident.alert is None:
            # never raised, and not there "rounds running": the count starts anew
            del self._incidents[key]
            return None
        if incident.missed < self._resolve_after:
            return None
        del self._incidents[key]
        resolved = replace(incident.alert, resolved_at=now)
        self._past.append(resolved)
        return resolved


def _alert(finding: Finding, raised_at: float) -> Alert:
    return Alert(
        key=finding.key,
        type=finding.type,
        severity=finding.severity,
        message=finding.message,
        target=finding.target,
        raised_at=raised_at,
        details=dict(finding.details),
    )
