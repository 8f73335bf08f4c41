"""Who is not told of what, and until when. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from perfmw.monitoring.cron import MaintenanceWindow
from perfmw.monitoring.degradation import Finding


@dataclass(frozen=True, slots=True)
class Silence:
    """Findings whose target, type or key matches ``pattern`` are not told from ``starts`` until ``until``.

    ``pattern``: ``*`` and ``?`` stand for anything, as in ``GET /reports/*``; ``*`` alone is everything.
    Times are unix seconds.
    """

    id: str
    pattern: str
    until: float
    starts: float = 0.0
    why: str = ""
    by: str = ""

    def covers(self, finding: Finding, now: float) -> bool:
        """Whether ``finding`` is silenced at unix time ``now``."""
        if not self.starts <= now < self.until:
            return False
        # the brackets of fnmatch would stand in the way of routes such as /items/[id]
        pattern = self.pattern.replace("[", "[[]")
        return any(fnmatchcase(text, pattern) for text in (finding.target, finding.type, finding.key))


@dataclass(frozen=True, slots=True)
class Quiet:
    """Silences and maintenance windows together."""

    silences: Sequence[Silence] = ()
    windows: Sequence[MaintenanceWindow] = ()

    def at(self, now: float) -> Quiet:
        """What of it counts at unix time ``now``; a round asks this once."""
        silences = [one for one in self.silences if one.starts <= now < one.until]
        return Quiet(silences, [window for window in self.windows if window.covers(now)])

    def covers(self, finding: Finding, now: float) -> bool:
        """Whether a finding is not told; of what ``at`` gave."""
        return bool(self.windows) or any(one.covers(finding, now) for one in self.silences)
