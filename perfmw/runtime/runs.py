"""The optimization run of the host: begun by one worker, told and ended by any."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from perfmw.contracts import OptimizationRequest

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime


class RunSaid(msgspec.Struct):
    """The optimization run of a worker, in its engine's words, and when its last one ended, in unix seconds.

    ``unwanted``: the run that somebody asked this worker to end, if it is another worker's.
    """

    worker: int
    state: dict[str, Any]
    ended_at: float
    unwanted: str = ""


class Runs:
    """The runs of one worker, and what the others of the host say of theirs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._task: asyncio.Task[Any] | None = None
        self._ended_at = 0.0
        self._others: Sequence[RunSaid] = ()
        self._unwanted = ""
        runtime.words.about("run", RunSaid, self.said, self.take_over)
        runtime.listen(self._heard)

    @property
    def own(self) -> bool:
        """Whether this worker has one under way; also before its task has had a first turn."""
        begun = self._task is not None and not self._task.done()
        return begun or self._runtime.engine.state()["status"] == "running"

    def start(self, request: OptimizationRequest | None, profile_id: str | None) -> dict[str, Any]:
        """See ``Runtime.start_optimization``."""
        runtime = self._runtime
        if not runtime.settings.optimizations_enabled:
            raise RuntimeError("optimizations are off: optimizations_enabled is false")
        if self.state()["status"] == "running":
            raise RuntimeError("an optimization run is under way; wait for it or cancel it")
        if profile_id is None:
            run = runtime.engine.optimize(request)
        else:
            if runtime.profiles.get(profile_id) is None:
                raise KeyError(f"no profile {profile_id!r}")
            run = runtime.engine.optimize_performance(profile_id, request)
        self._task = runtime.spawn(run, name="perfmw-optimization")
        return self.state()

    def state(self) -> dict[str, Any]:
        """That of the worker whose run is under way; of several, of the one that began first."""
        told = [self._own(), *self._others]
        running = [one for one in told if one.state.get("status") == "running"]
        shown = min(running, key=lambda one: one.state.get("began", 0.0), default=told[0])
        last = max(told, key=lambda one: one.ended_at).state.get("last")
        return {**shown.state, "worker": shown.worker, "last": last}

    def cancel(self) -> bool:
        """End the run of this worker at once, and else that of another, within some seconds."""
        if self.own:
            return self._runtime.engine.cancel()
        self._unwanted = self.state().get("run", "")
        return bool(self._unwanted)

    def said(self) -> RunSaid | None:
        """What the other workers are to know; None while there was no run."""
        known = self._ended_at or self._unwanted or ("engine" in self._runtime.__dict__ and self.own)
        return self._own() if known else None

    def take_over(self, others: Sequence[RunSaid]) -> None:
        """What the other workers say now; whoever is gone has no run any more."""
        self._others = others
        if self.own and self._runtime.engine.state().get("run") in {one.unwanted for one in self._others}:
            self._runtime.engine.cancel()

    def _own(self) -> RunSaid:
        state = self._runtime.engine.state()
        if self.own:
            state["status"] = "running"
        return RunSaid(os.getpid(), state, self._ended_at, self._unwanted)

    def _heard(self, name: str, detail: object) -> None:
        if name == "finished":
            self._ended_at = time.time()
