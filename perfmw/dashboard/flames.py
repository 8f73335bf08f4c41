"""Flame graphs on demand, as pages and the API ask for them: by profile."""

from __future__ import annotations

from dataclasses import dataclass

from perfmw.dashboard.host import Host
from perfmw.dashboard.problems import ProblemError
from perfmw.runtime.flames import Session


@dataclass(slots=True)
class Flames:
    """The last sessions of profiling a route, of all workers of the host."""

    host: Host

    def get(self, profile_id: str) -> Session | None:
        tracked = self.host.profiles.tracked(profile_id)
        return self.host.flames.find(tracked.recorder.name) if tracked is not None else None

    def start(self, profile_id: str, seconds: float, memory: bool) -> Session:
        """Begin in the background. Raises ProblemError 404, 409 or 422."""
        tracked = self.host.profiles.tracked(profile_id)
        if tracked is None:
            raise ProblemError(404, f"No profile has the id {profile_id!r}.")
        if tracked.recorder.type != "component":
            raise ProblemError(422, "Only routes can be profiled.")
        try:
            return self.host.flames.start(tracked.recorder.name, seconds, memory)
        except RuntimeError as error:
            raise ProblemError(409, str(error)) from None
