"""Findings on line: minute by minute, the latency, failures and throughput of the busiest profiles. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import median
from typing import Any, Final, Literal

from perfmw.monitoring.anomaly import AnomalyDetector
from perfmw.monitoring.changes import Change, ChangeDetector
from perfmw.monitoring.degradation import Finding, Severity
from perfmw.monitoring.seasons import DayCourse

Figure = Literal["latency", "errors", "throughput"]
LEAST_REQUESTS: Final = 10
"""Fewer in a bucket say nothing of latency and failures."""
ACCEPTED_AFTER: Final = 86_400.0
"""A level that stays so long is the usual one."""
ANOMALY_STANDS: Final = 600.0
_RECENT: Final = 5
_LEVEL: Final = 30
_UNFELT: Final = 0.001
"""Seconds that nobody feels."""
_LEAST_RATE: Final = 0.01
_LATENCY_ANOMALY: Final = 1.5
_TRAFFIC_ANOMALY: Final = 0.5
_EXPECTED: Final = 50
"""Requests a bucket below which a quiet minute is nothing special."""
_NOTEWORTHY: Final = 0.2
_MOVES: Final = 200


@dataclass(frozen=True, slots=True)
class Bucket:
    """A profile from ``at`` (unix seconds) for ``seconds``; ``busy``: what successful requests took."""

    at: float
    seconds: float
    count: int
    errors: int
    busy: float


@dataclass(frozen=True, slots=True)
class Moved:
    """A level that changed, for better or worse, or an anomaly; ``ratio`` is to what was usual."""

    target: str
    figure: Figure
    kind: Literal["change", "anomaly"]
    since: float
    before: float
    after: float
    confidence: float | None
    found_at: float = 0.0

    @property
    def ratio(self) -> float:
        return self.after / self.before if self.before > 0.0 else 0.0


class _Series:
    """One figure of one profile."""

    __slots__ = ("anomalies", "changes", "day", "figure", "level", "standing", "suspect", "target")

    def __init__(self, target: str, figure: Figure) -> None:
        self.target = target
        self.figure: Figure = figure
        self.changes = ChangeDetector()
        self.anomalies = AnomalyDetector() if figure != "errors" else None
        self.day = DayCourse()
        self.level: deque[float] = deque(maxlen=_LEVEL)
        self.standing: Moved | None = None
        self.suspect: Moved | None = None

    def update(self, at: float, value: float) -> Moved | None:
        """What this value makes certain."""
        change = self.changes.update(at, value)
        score = self.anomalies.score(at, value) if self.anomalies is not None else 0.0
        usual = median(self.level) if len(self.level) >= _RECENT else None
        self.level.append(value)
        found = self._changed(change, at) if change is not None else None
        if found is None and self.suspect is not None:
            found = self._confirmed(at, value)
        elif usual is not None and score >= AnomalyDetector.threshold and not self.day.explains(at, value):
            self.suspect = Moved(self.target, self.figure, "anomaly", at, usual, value, score, at)
        if found is not None and (self.standing is None or found.kind == "change"):
            self.standing = found if worse(found) else None
        else:
            self._ended(at)
        self.day.update(at, value)
        return found

    def _changed(self, change: Change, at: float) -> Moved | None:
        if self.day.explains(at, change.after):
            return None
        return Moved(
            self.target,
            self.figure,
            "change",
            change.since,
            change.before,
            change.after,
            change.confidence,
            at,
        )

    def _confirmed(self, at: float, value: float) -> Moved | None:
        """One wild bucket is noted by the detector alone; a second one like it makes it a finding."""
        suspect, self.suspect = self.suspect, None
        if suspect is None or self.day.explains(at, value):
            return None
        alike = replace(suspect, after=value, found_at=at)
        return alike if _far(suspect) and _far(alike) else None

    def _ended(self, at: float) -> None:
        """Halfway back to what was usual is back, on the scale of ratios."""
        found = self.standing
        if found is None:
            return
        lasts = ACCEPTED_AFTER if found.kind == "change" else ANOMALY_STANDS
        now = median(list(self.level)[-_RECENT:])
        moved, left = log(found.after / found.before), log(max(now, 1e-12) / found.before)
        back = found.kind == "change" and left / moved < 0.5 and at - found.since > _RECENT
        if back or at - found.found_at >= lasts:
            self.standing = None

    def state(self) -> dict[str, Any]:
        standing = self.standing
        kept = [standing.since, standing.before, standing.after, standing.confidence] if standing else None
        return {
            "usual": self.changes.state(),
            "day": self.day.state(),
            "level": [*self.level],
            "standing": kept if standing and standing.kind == "change" else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.changes.restore(state["usual"])
        self.day.restore(state["day"])
        self.level.extend(state["level"])
        if state["standing"] is not None:
            since, before, after, confidence = state["standing"]
            self.standing = Moved(self.target, self.figure, "change", since, before, after, confidence, since)


def _far(found: Moved) -> bool:
    return found.ratio >= _LATENCY_ANOMALY or found.ratio <= 1.0 / _LATENCY_ANOMALY


def worse(found: Moved) -> bool:
    """Whether it is worth a finding: bad, and large enough to matter."""
    if found.figure == "throughput":
        return found.ratio <= _TRAFFIC_ANOMALY
    if found.figure == "errors":
        return found.ratio >= 2.0 and found.after >= _LEAST_RATE
    least = _LATENCY_ANOMALY if found.kind == "anomaly" else 1.0
    return found.ratio > least and found.after - found.before >= _UNFELT


class _Watched:
    """One profile: its three series."""

    __slots__ = ("id", "series", "type", "until")

    def __init__(self, profile_id: str, name: str, type: str, until: float) -> None:
        self.id, self.type, self.until = profile_id, type, until
        self.series = {figure: _Series(name, figure) for figure in ("latency", "errors", "throughput")}

    def update(self, bucket: Bucket) -> list[Moved]:
        succeeded = bucket.count - bucket.errors
        found = [self._traffic(bucket)]
        if succeeded >= LEAST_REQUESTS:
            found.append(self.series["latency"].update(bucket.at, bucket.busy / succeeded))
        if bucket.count >= LEAST_REQUESTS:
            # half a failure more, so that none at all has a logarithm too
            rate = (bucket.errors + 0.5) / (bucket.count + 1.0)
            found.append(self.series["errors"].update(bucket.at, rate))
        return [one for one in found if one is not None]

    def _traffic(self, bucket: Bucket) -> Moved | None:
        series = self.series["throughput"]
        found = series.update(bucket.at, (bucket.count + 0.5) / bucket.seconds)
        if found is not None and found.before * bucket.seconds < _EXPECTED and found.ratio < 1.0:
            series.standing = None
            return None
        return found


class SeriesWatch:
    """The series of at most ``most`` profiles, some 300 KB each when they have run for a day.

    A profile that was not among the busiest for an hour makes room for another.
    """

    def __init__(self, most: int = 50) -> None:
        self._most = most
        self._watched: dict[str, _Watched] = {}
        self._moves: deque[Moved] = deque(maxlen=_MOVES)
        self.buckets = 0
        """Buckets that were looked at."""

    def update(self, profile_id: str, name: str, type: str, bucket: Bucket) -> list[Moved]:
        """A profile's next bucket; what it makes certain, for better or worse. Old buckets are left out."""
        watched = self._watched.get(profile_id)
        if watched is None:
            if len(self._watched) >= self._most and not self._make_room(bucket.at):
                return []
            watched = self._watched[profile_id] = _Watched(profile_id, name, type, bucket.at)
        if bucket.at < watched.until or bucket.seconds <= 0.0:
            return []
        watched.until = bucket.at + bucket.seconds
        self.buckets += 1
        found = watched.update(bucket)
        self._moves.extend(found)
        return found

    def _make_room(self, now: float) -> bool:
        idle = min(self._watched, key=lambda one: self._watched[one].until)
        if now - self._watched[idle].until < 3600.0:
            return False
        del self._watched[idle]
        return True

    def ids(self) -> list[str]:
        """The profiles that are watched."""
        return list(self._watched)

    def type_of(self, target: str) -> str | None:
        """The type of a watched profile, by its name."""
        return next(
            (one.type for one in self._watched.values() if one.series["latency"].target == target), None
        )

    def until(self, profile_id: str) -> float | None:
        """The end of the last bucket of a profile, unix seconds; None for one that is not watched."""
        watched = self._watched.get(profile_id)
        return None if watched is None else watched.until

    def findings(self) -> list[Finding]:
        """What is worse than usual as of now."""
        return [
            _finding(watched, series.standing)
            for watched in self._watched.values()
            for series in watched.series.values()
            if series.standing is not None
        ]

    def moved(self, moment: float, within: float = 300.0, but: Iterable[str] = ()) -> list[Moved]:
        """What changed at about unix time ``moment``, the nearest first, without the targets ``but``."""
        left_out = set(but)
        near = [
            one
            for one in self._moves
            if abs(one.since - moment) <= within
            and one.target not in left_out
            and abs(one.ratio - 1.0) >= _NOTEWORTHY
        ]
        return sorted(near, key=lambda one: abs(one.since - moment))

    def state(self) -> list[dict[str, Any]]:
        """Everything worth keeping over a restart, as JSON values."""
        return [
            {
                "id": one.id,
                "name": one.series["latency"].target,
                "type": one.type,
                "until": one.until,
                "series": {figure: series.state() for figure, series in one.series.items()},
            }
            for one in self._watched.values()
        ]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Take up what ``state`` gave; raises KeyError, TypeError or ValueError if it is no such thing."""
        for one in state[: self._most]:
            watched = _Watched(one["id"], one["name"], one["type"], float(one["until"]))
            for figure, series in watched.series.items():
                series.restore(one["series"][figure])
            self._watched[watched.id] = watched


def _finding(watched: _Watched, found: Moved) -> Finding:
    details = {
        "figure": found.figure,
        "value": found.after,
        "limit": found.before,
        "ratio": found.ratio,
        "profile_type": watched.type,
    }
    kind = "anomaly" if found.kind == "anomaly" else f"changed_{found.figure}"
    return Finding(
        f"{watched.id}:{found.kind}:{found.figure}",
        kind,
        severity_of(found),
        describe(found),
        found.target,
        details,
        since=found.since,
        confidence=found.confidence,
    )


def severity_of(found: Moved) -> Severity:
    """High from twice the latency or 5% of failures on; less traffic is often just the hour, thus low."""
    if found.figure == "throughput" or found.kind == "anomaly":
        return "low"
    if found.figure == "errors":
        return "high" if found.after >= 0.05 else "medium"
    return "high" if found.ratio >= 2.0 else "medium" if found.after - found.before >= 0.005 else "low"


def describe(found: Moved) -> str:
    """What moved, from where to where, in words."""
    if found.figure == "latency":
        times = f"{found.before * 1000:.1f} ms to {found.after * 1000:.1f} ms"
        change = f"{abs(found.ratio - 1.0):.0%} {'slower' if found.ratio > 1.0 else 'faster'}"
        if found.kind == "anomaly":
            return f"{found.target} took {found.after * 1000:.1f} ms, usually {found.before * 1000:.1f} ms"
        return f"{found.target} became {change}: {times}"
    if found.figure == "errors":
        return f"{found.target} fails in {found.after:.1%} of requests, before in {found.before:.1%}"
    more = "more" if found.ratio > 1.0 else "fewer"
    return (
        f"{found.target} gets {found.after:.3g} requests/s, {more} than the {found.before:.3g} that are usual"
    )
