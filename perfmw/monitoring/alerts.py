"""From findings to alerts: one incident, one alert and its updates."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from perfmw.contracts import Alert
from perfmw.monitoring.degradation import RANK, Finding, Severity
from perfmw.monitoring.silences import Quiet

Context = Callable[[float, Collection[str]], Mapping[str, Any]]
"""(since, targets) -> what moved with it, for ``details``; its ``cause``, if any, ends the message."""
_SHOWN: Final = 3
_LISTED: Final = 50
_PATIENCE: Final = 8
"""How many times longer than at first an incident that keeps coming back is held open, at most."""


def _no_context(_since: float, _targets: Collection[str]) -> Mapping[str, Any]:
    return {}


@dataclass(slots=True)
class _Member:
    finding: Finding
    first: float
    seen: int = 0
    missed: int = 0


@dataclass(slots=True)
class _Incident:
    """What began at one time, or concerns one target."""

    key: str
    since: float
    raised_at: float
    members: dict[str, _Member] = field(default_factory=dict)
    alert: Alert | None = None
    told_at: float | None = None
    told: tuple[object, ...] = ()
    told_severity: Severity = "low"
    updates: int = 0
    returns: int = 0
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        found: list[Severity] = [member.finding.severity for member in self.members.values()]
        return max(found, key=RANK.__getitem__)

    @property
    def targets(self) -> list[str]:
        return list(dict.fromkeys(member.finding.target for member in self.members.values()))


class AlertManager:
    """Raises, updates and resolves alerts. Pure: every call is told the time, in unix seconds.

    A finding counts when it was there in ``raise_after`` rounds running, and is over when it was away for
    ``resolve_after``; in between, flapping tells nobody anything. Findings of one target, and those that
    began within ``group_seconds`` of each other, are one incident. It is told when it is raised, when its
    severity rises, when what belongs to it changed (at most every ``update_seconds``), and when it is over.
    One that comes back within ``reopen_seconds`` is the same incident, and is held open longer.
    Beyond ``max_open`` findings new ones are counted in ``dropped``.

    :param context: asked once for every incident that is raised or grows.
    """

    def __init__(
        self,
        *,
        raise_after: int = 2,
        resolve_after: int = 3,
        max_open: int = 200,
        history: int = 500,
        group_seconds: float = 300.0,
        update_seconds: float = 300.0,
        reopen_seconds: float = 900.0,
        context: Context = _no_context,
    ) -> None:
        if min(raise_after, resolve_after, max_open) < 1:
            raise ValueError("raise_after, resolve_after and max_open must be at least 1")
        self.dropped = 0
        self._raise_after = raise_after
        self._resolve_after = resolve_after
        self._max_open = max_open
        self._group, self._update, self._reopen = group_seconds, update_seconds, reopen_seconds
        self._context = context
        self._pending: dict[str, _Member] = {}
        self._incidents: dict[str, _Incident] = {}
        self._where: dict[str, _Incident] = {}
        self._returns: dict[str, tuple[float, int]] = {}
        self._past: deque[Alert] = deque(maxlen=history)

    # ---- a round

    def update(
        self,
        findings: Iterable[Finding],
        now: float,
        *,
        target: str | None = None,
        quiet: Quiet | None = None,
    ) -> list[Alert]:
        """One round of findings; returns the alerts to send: raised, updated or resolved.

        :param target: the round looked at this target alone; others are left as they are.
        :param quiet: what is not told; it is kept track of all the same, and told when the silence ends.
        """
        present = {finding.key: finding for finding in findings}
        # what is over makes room for what is new
        told = [self._away(key, now) for key in self._absent(present, target)]
        for finding in present.values():
            self._present(finding, now)
        active = (quiet or Quiet()).at(now)
        told += [self._tell(incident, now, active) for incident in list(self._incidents.values())]
        return [alert for alert in told if alert is not None]

    def open(self) -> list[Alert]:
        """The alerts that are not resolved, the oldest first, silenced ones included."""
        alerts = [one.alert for one in self._incidents.values() if one.alert is not None]
        return sorted(alerts, key=lambda alert: alert.raised_at)

    def recent(self) -> list[Alert]:
        """Resolved alerts, the oldest first, then the open ones."""
        return [*self._past, *self.open()]

    # ---- what is there

    def _present(self, finding: Finding, now: float) -> None:
        incident = self._where.get(finding.key)
        member = incident.members[finding.key] if incident else self._pending.get(finding.key)
        if member is None:
            if len(self._where) + len(self._pending) >= self._max_open:
                self.dropped += 1
                return
            member = self._pending[finding.key] = _Member(finding, now)
        member.finding = finding
        member.seen += 1
        member.missed = 0
        if incident is None and member.seen >= self._raise_after:
            del self._pending[finding.key]
            self._join(member, now)

    def _join(self, member: _Member, now: float) -> None:
        finding = member.finding
        since = finding.since if finding.since is not None else member.first
        incident = self._akin(finding.target, since)
        if incident is None:
            incident = self._incidents[finding.key] = _Incident(finding.key, since, now)
            at, times = self._returns.pop(finding.key, (float("-inf"), 0))
            incident.returns = times + 1 if now - at <= self._reopen else 0
        incident.members[finding.key] = member
        incident.since = min(incident.since, since)
        self._where[finding.key] = incident

    def _akin(self, target: str, since: float) -> _Incident | None:
        for incident in self._incidents.values():
            if any(member.finding.target == target for member in incident.members.values()):
                return incident
        near = [one for one in self._incidents.values() if abs(one.since - since) <= self._group]
        return min(near, key=lambda one: abs(one.since - since), default=None)

    # ---- what is away

    def _absent(self, present: Collection[str], target: str | None) -> list[str]:
        known = [*self._pending.items(), *((key, one.members[key]) for key, one in self._where.items())]
        return [
            key for key, member in known if key not in present and target in (None, member.finding.target)
        ]

    def _away(self, key: str, now: float) -> Alert | None:
        if key in self._pending:
            # never raised, and not there "rounds running": the count starts anew
            del self._pending[key]
            return None
        incident = self._where[key]
        member = incident.members[key]
        member.missed += 1
        if member.missed < self._resolve_after * min(2**incident.returns, _PATIENCE):
            return None
        del self._where[key]
        if len(incident.members) > 1:
            del incident.members[key]
            return None
        return self._resolve(incident, now)

    def _resolve(self, incident: _Incident, now: float) -> Alert | None:
        del self._incidents[incident.key]
        self._returns = {key: value for key, value in self._returns.items() if now - value[0] <= self._reopen}
        self._returns[incident.key] = now, incident.returns
        resolved = replace(incident.alert or self._alert(incident), resolved_at=now)
        self._past.append(resolved)
        return resolved if incident.told_at is not None else None

    def resolve(self, key: str, now: float) -> Alert | None:
        """Close an incident by hand; what to send, None if nobody was told of it.

        What it tells of is raised again if it is still there.

        :raises KeyError: no incident of that key is open.
        """
        incident = self._incidents[key]
        for member in incident.members:
            del self._where[member]
        return self._resolve(incident, now)

    # ---- what is told

    def _tell(self, incident: _Incident, now: float, quiet: Quiet) -> Alert | None:
        is_quiet = all(quiet.covers(member.finding, now) for member in incident.members.values())
        state = (incident.severity, frozenset(incident.members))
        if state != incident.told and (incident.alert is None or self._due(incident, now)):
            incident.context = self._context(incident.since, incident.targets)
        incident.alert = replace(self._alert(incident), details=self._details(incident, silenced=is_quiet))
        if is_quiet or not self._worth_telling(incident, state, now):
            return None
        incident.updates += incident.told_at is not None
        incident.told, incident.told_at, incident.told_severity = state, now, incident.severity
        incident.alert = replace(incident.alert, details=self._details(incident, silenced=False))
        return incident.alert

    def _due(self, incident: _Incident, now: float) -> bool:
        risen = RANK[incident.severity] > RANK[incident.told_severity]
        return incident.told_at is None or risen or now - incident.told_at >= self._update

    def _worth_telling(self, incident: _Incident, state: tuple[object, ...], now: float) -> bool:
        return incident.told_at is None or (state != incident.told and self._due(incident, now))

    def _alert(self, incident: _Incident) -> Alert:
        main, targets = _main(incident), incident.targets
        several = len(targets) > 1
        return Alert(
            key=incident.key,
            type="several" if several else main.type,
            severity=incident.severity,
            message=_message(incident, main),
            target=f"{len(targets)} profiles" if several else main.target,
            raised_at=incident.raised_at,
            details=incident.alert.details if incident.alert else {},
        )

    def _details(self, incident: _Incident, *, silenced: bool) -> dict[str, Any]:
        main = _main(incident)
        findings = [
            {"target": one.target, "type": one.type, "severity": one.severity, "message": one.message}
            for one in (member.finding for member in incident.members.values())
        ]
        return {
            **main.details,
            **incident.context,
            "since": incident.since,
            "confidence": main.confidence,
            "findings": findings[:_LISTED],
            "targets": incident.targets[:_LISTED],
            "update": incident.updates,
            "returned": incident.returns,
            "silenced": silenced,
        }

    # ---- over a restart

    def state(self) -> dict[str, Any]:
        """Open incidents and what is over, as JSON values."""
        return {
            "open": [_kept(incident) for incident in self._incidents.values()],
            "past": [asdict(alert) for alert in self._past],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state`` gave: nobody is told a second time of what is still there."""
        self._past.extend(Alert(**alert) for alert in state["past"])
        for kept in state["open"]:
            incident = _restored(kept)
            self._incidents[incident.key] = incident
            self._where.update(dict.fromkeys(incident.members, incident))


def _main(incident: _Incident) -> Finding:
    """The one that is told first: the most severe, and of these the one that began first."""
    return min(
        (member.finding for member in incident.members.values()),
        key=lambda one: (-RANK[one.severity], one.since if one.since is not None else incident.raised_at),
    )


def _message(incident: _Incident, main: Finding) -> str:
    targets, cause = incident.targets, incident.context.get("cause")
    if len(targets) == 1:
        more = len(incident.members) - 1
        text = main.message + (f" (and {more} more finding{'s' if more > 1 else ''})" if more else "")
    else:
        shown = ", ".join(targets[:_SHOWN])
        rest = f" and {len(targets) - _SHOWN} more" if len(targets) > _SHOWN else ""
        text = f"{len(targets)} profiles became worse together: {shown}{rest}; {main.message}"
    return f"{text}; {cause}" if cause else text


def _kept(incident: _Incident) -> dict[str, Any]:
    return {
        "key": incident.key,
        "since": incident.since,
        "raised_at": incident.raised_at,
        "told_at": incident.told_at,
        "told_severity": incident.told_severity,
        "updates": incident.updates,
        "returns": incident.returns,
        "context": dict(incident.context),
        "members": [asdict(member) for member in incident.members.values()],
    }


def _restored(kept: Mapping[str, Any]) -> _Incident:
    members = [
        _Member(Finding(**one["finding"]), one["first"], one["seen"], one["missed"])
        for one in kept["members"]
    ]
    fields = ("key", "since", "raised_at", "told_at", "told_severity", "updates", "returns", "context")
    incident = _Incident(**{name: kept[name] for name in fields})
    incident.members = {member.finding.key: member for member in members}
    if incident.told_at is not None:
        incident.told = (incident.severity, frozenset(incident.members))
    return incident
