"""Flame graphs on demand: one profiling session at a time, and the last graphs that came of them."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field

from perfmw.dashboard.host import Host
from perfmw.dashboard.problems import ProblemError
from perfmw.profiles.flames import Flame

KEPT = 8
REQUESTS = 50


@dataclass(slots=True)
class Session:
    """A session of profiling a route: ``status`` is running, done or failed. Times in unix seconds."""

    profile_id: str
    route: str
    began: float
    seconds: float
    status: str = "running"
    flame: Flame | None = None
    error: str = ""


@dataclass(slots=True)
class Flames:
    """The last ``KEPT`` sessions of this worker, by profile."""

    host: Host
    sessions: OrderedDict[str, Session] = field(default_factory=OrderedDict)

    def get(self, profile_id: str) -> Session | None:
        return self.sessions.get(profile_id)

    def start(self, profile_id: str, seconds: float, memory: bool) -> Session:
        """Begin in the background. Raises ProblemError 404, 409 or 422."""
        tracked = self.host.profiles.tracked(profile_id)
        if tracked is None:
            raise ProblemError(404, f"No profile has the id {profile_id!r}.")
        if tracked.recorder.type != "component":
            raise ProblemError(422, "Only routes can be profiled.")
        busy = next((one for one in self.sessions.values() if one.status == "running"), None)
        if busy is not None:
            raise ProblemError(409, f"{busy.route} is being profiled; wait for it.")
        session = Session(profile_id, tracked.recorder.name, time.time(), seconds)
        self.sessions.pop(profile_id, None)
        self.sessions[profile_id] = session
        while len(self.sessions) > KEPT:
            self.sessions.popitem(last=False)
        self.host.spawn(self._run(session, memory), name="dashboard-flames")
        return session

    async def _run(self, session: Session, memory: bool) -> None:
        try:
            session.flame = await self.host.profile_route(
                session.route, requests=REQUESTS, seconds=session.seconds, memory=memory
            )
            session.status = "done"
        except ImportError:
            session.status, session.error = "failed", "It needs pyinstrument: pip install 'perfmw[profiler]'."
        except RuntimeError as error:
            session.status, session.error = "failed", f"{error}."
        finally:
            if session.status == "running":  # cancelled: the runtime stops
                session.status, session.error = "failed", "The server stopped."
