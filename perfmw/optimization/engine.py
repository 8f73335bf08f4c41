"""Opportunities → plan → experiment on live traffic → keep or roll back → ledger."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from perfmw.contracts import (
    AppliedOptimization,
    OptimizationOpportunity,
    OptimizationRecommendation,
    OptimizationRequest,
    OptimizationResult,
    OptimizationStepResult,
    Optimizer,
    PerformanceMonitoringResult,
    PerformanceProfile,
    PerformanceProfileConfig,
    PotentialOptimization,
    ProfileType,
    RuntimeSnapshot,
)
from perfmw.optimization.experiment import Gates, Verdict
from perfmw.optimization.host import EngineHost
from perfmw.optimization.ledger import EntryKind, Ledger, LedgerEntry
from perfmw.optimization.planning import (
    EVERYTHING,
    Explains,
    Objects,
    Recommends,
    as_row,
    batches,
    check_request,
    choose,
    conclude,
    find_profile,
    mean_score,
    promise,
    share_out,
)
from perfmw.optimization.progress import Run, Trying
from perfmw.optimization.session import MonitoringSession
from perfmw.optimization.survey import Survey, applied_of, built_upon, chosen_for
from perfmw.optimization.trial import Trial

log = logging.getLogger("perfmw.optimization")
Item = TypeVar("Item")


class EngineBusyError(RuntimeError):
    """An optimization run is under way; only one change at a time can be measured."""


class PerformanceOptimizationEngine:
    """Proves every change on live traffic, or undoes it.

    :param host: what the engine needs of the process (see EngineHost).
    :param optimizers: by name; one that raises is logged and left out of that call.
    :param ledger: where everything is written down.
    :param gates: what it takes to keep a change.
    :param seed: of the experiments' orders; None draws one.
    """

    def __init__(
        self,
        host: EngineHost,
        optimizers: Mapping[str, Optimizer],
        ledger: Ledger,
        *,
        gates: Gates | None = None,
        seed: int | None = None,
    ) -> None:
        self.optimizers = dict(optimizers)
        self.ledger = ledger
        self._host = host
        self._gates = gates or Gates()
        self._random = Random(seed)
        self._configs: dict[str, PerformanceProfileConfig] = {}
        self._run: Run | None = None
        self._last: OptimizationResult | None = None
        self.surveyed = Survey()
        """What was found when last looked, for profiles and pages."""

    # --- profiles ---

    def create_performance_profile(
        self, target_id: str, target_type: ProfileType, config: PerformanceProfileConfig | None = None
    ) -> PerformanceProfile:
        """The profile of a target, made if it does not exist, with the caller's choices.

        :param target_id: the target's name, such as ``GET /items/{id}``.
        """
        self._host.ensure_profile(target_id, target_type)
        found = find_profile(self._host.snapshot().profiles, target_id)
        self._configs[found.id] = config or PerformanceProfileConfig()
        return self.configured(found)

    def configured(self, profile: PerformanceProfile) -> PerformanceProfile:
        """A copy of ``profile`` with what was chosen for it; the profile itself if nothing was."""
        config = self._configs.get(profile.id)
        found = self.surveyed.of(profile.name)
        if found is not None:
            profile = replace(profile, optimizations=found)
        return chosen_for(profile, config) if config is not None else profile

    async def monitor_performance(
        self, profile_id: str, duration: float = 3600.0
    ) -> PerformanceMonitoringResult:
        """Watch a profile for ``duration`` seconds, and return when they are over.

        Raises KeyError for an unknown profile and ValueError for a duration that is not positive.
        """
        if not (math.isfinite(duration) and duration > 0):
            raise ValueError(f"duration must be a positive number of seconds, not {duration!r}")
        target = find_profile(self._host.snapshot().profiles, profile_id)

        def current() -> PerformanceProfile:
            return self.configured(find_profile(self._host.snapshot().profiles, target.id))

        if self._host.monitor is not None:
            return await self._host.monitor(target.id, duration)
        session = MonitoringSession(self._host, current, duration)
        return await session.run(lambda: self.recommendations(target.name))

    # --- what could be done ---

    def find_opportunities(
        self, target: str | None = None, snapshot: RuntimeSnapshot | None = None
    ) -> list[OptimizationOpportunity]:
        """What is worth trying now, the most seconds saved first; not what stands or was rejected."""
        seen = snapshot or self._host.snapshot()
        found = self._ask(lambda optimizer: optimizer.propose(seen))
        standing = {entry.opportunity.id for entry in self.ledger.kept()} | self.ledger.rejected()
        wanted = (item for item in found if item.id not in standing and target in (None, item.target))
        return sorted(wanted, key=lambda item: (-item.saved_seconds_per_day, item.id))

    def potential(self, snapshot: RuntimeSnapshot | None = None) -> list[PotentialOptimization]:
        """What was not proposed, and what it lacks."""
        seen = snapshot or self._host.snapshot()
        return self._ask(lambda it: it.explain(seen) if isinstance(it, Explains) else ())

    def recommendations(
        self, target: str | None = None, snapshot: RuntimeSnapshot | None = None
    ) -> list[OptimizationRecommendation]:
        """Advice for the app's developers, the most seconds saved first."""
        seen = snapshot or self._host.snapshot()
        found = self._ask(lambda it: it.recommend(seen, target) if isinstance(it, Recommends) else ())
        return sorted(found, key=lambda item: -item.saved_seconds_per_day)

    def survey(self) -> Iterator[None]:
        """Look what could be done and does not wait for anybody, and remember it; in steps."""
        seen = self._host.snapshot()
        yield
        asked = {entry.opportunity.id for entry in self.ledger.waiting()}
        found = [one for one in self.find_opportunities(None, seen) if one.id not in asked]
        potential = self.potential(seen)
        yield
        applied = [applied_of(entry) for entry in self.ledger.kept()]
        self.surveyed = Survey(found, potential, self.recommendations(None, seen), applied, seen.taken_at)

    # --- asking and answering ---

    async def approve(
        self, entry_id: int, request: OptimizationRequest | None = None, *, who: str = "user"
    ) -> OptimizationResult:
        """Try what waits, or was rejected, in ledger entry ``entry_id``; it is kept only if it proves itself.

        Raises KeyError for an unknown entry, ValueError when it does not wait, EngineBusyError.
        """
        opportunity = self.pending(entry_id)
        request = replace(request or OptimizationRequest(), requested_by=who, approval=False)
        if self._run is not None:
            raise EngineBusyError(f"optimization run {self._run.id} is under way")
        self.ledger.append("approved", opportunity, who=who, why="approved")
        return await self._optimize(EVERYTHING, None, request, [opportunity])

    def pending(self, entry_id: int) -> OptimizationOpportunity:
        """What an entry that waits or was rejected is about. Raises KeyError, and ValueError for another."""
        opportunity = self.ledger.entry(entry_id).opportunity
        asked = {entry.opportunity.id for entry in self.ledger.waiting()} | self.ledger.rejected()
        if opportunity.id not in asked:
            raise ValueError(f"entry {entry_id} does not wait for approval")
        return opportunity

    def reject(self, entry_id: int, *, who: str = "user", why: str = "rejected") -> LedgerEntry:
        """Refuse what waits in a ledger entry: it is not proposed again, unless it is approved.

        Raises KeyError for an unknown entry, ValueError when it does not wait, or is rejected already.
        """
        opportunity = self.pending(entry_id)
        if opportunity.id in self.ledger.rejected():
            raise ValueError(f"entry {entry_id} is rejected already")
        return self.ledger.append("rejected", opportunity, who=who, why=why)

    # --- looking after what was kept ---

    def withdraw(self, target: str | None = None) -> list[LedgerEntry]:
        """Undo kept changes against which their optimizer by now has evidence; what was undone."""
        found: list[LedgerEntry] = []
        for entry in reversed(self.ledger.kept()):
            one = entry.opportunity
            why = self._objection(one) if target is None or target == one.target else None
            if why is not None:
                found.append(self._revert(one, "perfmw", why, "withdrawn"))
        return found

    async def recheck(
        self, request: OptimizationRequest | None = None, target: str | None = None
    ) -> OptimizationResult:
        """Measure kept changes again, the oldest first; what has stopped paying is withdrawn.

        Changes that can not be toggled are left alone. Raises EngineBusyError.
        """
        kept = [entry.opportunity for entry in self.ledger.kept()]
        due = [item for item in kept if item.toggles and target in (None, item.target)]
        request = request or OptimizationRequest(requested_by="recheck")
        return await self._optimize(EVERYTHING, None, request, due[: request.max_steps])

    # --- doing it ---

    async def optimize_performance(
        self, profile_id: str, request: OptimizationRequest | None = None
    ) -> OptimizationResult:
        """Try what may help one profile, one change at a time. Takes steps × blocks × block_seconds.

        Raises KeyError for an unknown profile, ValueError for a bad request, EngineBusyError.
        """
        profile = find_profile(self._host.snapshot().profiles, profile_id)
        return await self._optimize(profile.id, profile.name, request or OptimizationRequest())

    async def optimize(self, request: OptimizationRequest | None = None) -> OptimizationResult:
        """Try the best opportunities of all profiles. The result's profile_id is ``all``.

        Raises ValueError for a bad request, EngineBusyError.
        """
        return await self._optimize(EVERYTHING, None, request or OptimizationRequest())

    def cancel(self) -> bool:
        """Stop the run under way: its change is reverted, its result tells what was done. False if idle."""
        run = self._run
        if run is None or run.task is None:
            return False
        run.cancelled = True
        run.task.cancel()
        return True

    def state(self) -> dict[str, Any]:
        """JSON values: ``status`` idle or running, the run, its blocks; the last result; the survey's."""
        run = self._run.row() if self._run else {"status": "idle"}
        return {**run, "last": as_row(self._last) if self._last else None, "surveyed_at": self.surveyed.at}

    # --- undoing it ---

    def rollback(self, entry_id: int, *, who: str = "user", why: str = "rolled back by hand") -> LedgerEntry:
        """Revert the change that ledger entry ``entry_id`` is about.

        Raises KeyError for an unknown entry, LookupError when its optimizer is not installed.
        """
        return self._revert(self.ledger.entry(entry_id).opportunity, who, why)

    def revert_all(self, *, who: str = "user", why: str = "all optimizations reverted") -> int:
        """The kill switch: cancels the run under way and reverts what stands. How many were reverted."""
        self.cancel()
        reverted = 0
        for entry in reversed(self.ledger.kept()):
            try:
                self._revert(entry.opportunity, who, why)
                reverted += 1
            except Exception as error:
                log.error("optimization %s could not be reverted: %r", entry.opportunity.id, error)
        return reverted

    def restore(self) -> list[OptimizationOpportunity]:
        """At start: apply again what stood. What can not be applied any more lapses."""
        restored = []
        for entry in self.ledger.kept():
            opportunity = entry.opportunity
            try:
                self._optimizer(opportunity).apply(opportunity, self._host.controls)
            except Exception as error:
                log.warning("optimization %s lapsed: %s", opportunity.id, error)
                self.ledger.append("lapsed", opportunity, who="perfmw", why=str(error))
            else:
                restored.append(opportunity)
        return restored

    def _revert(
        self, opportunity: OptimizationOpportunity, who: str, why: str, kind: EntryKind = "reverted"
    ) -> LedgerEntry:
        for later in built_upon(opportunity, self.ledger.kept()):
            self._revert(later, who, f"with {opportunity.title}: {why}", kind)
        if self._run is not None and opportunity.id in self._run.trying:
            self.cancel()  # it is on trial again: the trial must not end by keeping it
        self._optimizer(opportunity).revert(opportunity, self._host.controls)
        self._tell("reverted", opportunity)
        return self.ledger.append(kind, opportunity, who=who, why=why)

    # --- a run ---

    async def _optimize(
        self,
        profile_id: str,
        target: str | None,
        request: OptimizationRequest,
        chosen: Sequence[OptimizationOpportunity] | None = None,
    ) -> OptimizationResult:
        check_request(request)
        with self._running(target or EVERYTHING) as run:
            try:
                best = choose(self.find_opportunities(), request, target) if chosen is None else chosen
                await self._steps(run, request, best)
                if run.cancelled:  # too late to stop anything: take the cancellation, so that no caller does
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                if not run.cancelled or run.task is None:
                    raise
                run.task.uncancel()
            result = self._conclude(run, profile_id, target)
            self._last = result
        self._tell("finished", result)
        self._tell("state", self.state())
        return result

    @contextlib.contextmanager
    def _running(self, target: str) -> Iterator[Run]:
        if self._run is not None:
            raise EngineBusyError(f"optimization run {self._run.id} is under way")
        self._run = Run(uuid.uuid4().hex[:12], target, self._host.clock(), asyncio.current_task())
        try:
            yield self._run
        finally:
            self._run = None

    async def _steps(
        self, run: Run, request: OptimizationRequest, steps: Sequence[OptimizationOpportunity]
    ) -> None:
        run.planned = len(steps)
        lengths = share_out(steps, self._host.snapshot().profiles, request.block_seconds)
        for batch in batches(steps, lengths, request.at_once):
            run.trying = {step.id: Trying(step) for step, _ in batch}
            self._tell("state", self.state())
            trials = [
                self._step(run, step, replace(request, block_seconds=seconds)) for step, seconds in batch
            ]
            # several have all undone theirs when a cancellation passes
            results = [await trials[0]] if len(trials) == 1 else await asyncio.gather(*trials)
            if batch[0][0].critical and not results[0].success:
                break

    async def _step(
        self, run: Run, opportunity: OptimizationOpportunity, request: OptimizationRequest
    ) -> OptimizationStepResult:
        began = self._host.clock()
        self._note(run, "proposed", opportunity, request, promise(opportunity))
        if request.approval:
            self._note(run, "waiting", opportunity, request, "waits for approval")
            result = OptimizationStepResult(
                opportunity.id, False, verdict="skipped", reason="waits for approval"
            )
        elif request.dry_run:
            result = OptimizationStepResult(opportunity.id, False, verdict="skipped", reason="dry run")
        else:
            result = await self._try(run, opportunity, request, began)
        result.duration = self._host.clock() - began
        run.steps.append(result)
        return result

    async def _try(
        self, run: Run, opportunity: OptimizationOpportunity, request: OptimizationRequest, began: float
    ) -> OptimizationStepResult:
        """Whatever happens, the change ends up reverted unless the verdict is to keep it."""
        trial: Trial | None = None
        try:
            trial = self._trial(run, opportunity, request)
            self._note(run, "applied", opportunity, request, f"on trial for {request.blocks} blocks")
            verdict = await trial.run()
            return self._settle(run, trial, verdict)
        except asyncio.CancelledError:
            why = "cancelled" if run.cancelled else "stopped with the process"
            result = OptimizationStepResult(opportunity.id, False, verdict="rolled_back", reason=why)
            result.duration = self._host.clock() - began
            run.steps.append(result)
            self._undo(run, trial, "rolled_back", opportunity, request, why)
            raise
        except Exception as error:
            log.warning("optimization step %s failed: %r", opportunity.id, error)
            self._undo(run, trial, "failed", opportunity, request, repr(error))
            return OptimizationStepResult(opportunity.id, False, error=repr(error), reason="failed")

    def _trial(self, run: Run, opportunity: OptimizationOpportunity, request: OptimizationRequest) -> Trial:
        def progress(done: int, planned: int) -> None:
            run.trying[opportunity.id] = Trying(opportunity, done, planned)
            self._tell("state", self.state())

        optimizer, seed = self._optimizer(opportunity), self._random.getrandbits(32)
        standing = any(entry.opportunity.id == opportunity.id for entry in self.ledger.kept())
        trial = Trial(self._host, optimizer, opportunity, request, seed, progress, self._gates)
        trial.on = trial.standing = standing
        return trial

    def _settle(self, run: Run, trial: Trial, verdict: Verdict) -> OptimizationStepResult:
        opportunity, who = trial.opportunity, trial.request.requested_by
        outcome, reason = verdict.outcome, verdict.reason
        objection = self._objection(opportunity) if outcome != "roll_back" else None
        good = outcome == "keep" or (trial.standing and outcome == "not_enough_data")
        keep = good and objection is None
        result = OptimizationStepResult(
            opportunity.id,
            success=keep,
            verdict="kept" if keep else "not_enough_data" if outcome == "not_enough_data" else "rolled_back",
            improvement=verdict.improvement,
            interval=verdict.interval,
            before=trial.side(on=False),
            after=trial.side(on=True),
            reason=objection or reason,
        )
        self.ledger.append("measured", opportunity, who=who, why=reason, run=run.id, result=result)
        trial.switch(keep)
        kind: EntryKind = "kept" if keep else "withdrawn" if trial.standing else "rolled_back"
        self.ledger.append(kind, opportunity, who=who, why=result.reason, run=run.id, result=result)
        if keep:
            self._keep(run, opportunity, result)
        return result

    def _keep(self, run: Run, one: OptimizationOpportunity, result: OptimizationStepResult) -> None:
        applied = AppliedOptimization(
            one.id, one.type, one.target, one.parameters, self._host.clock(), result
        )
        run.applied.append(applied)
        self._tell("applied", applied)

    def _objection(self, opportunity: OptimizationOpportunity) -> str | None:
        optimizer: object = self.optimizers.get(opportunity.optimizer)
        if not isinstance(optimizer, Objects):
            return None
        return optimizer.objection(opportunity, self._host.snapshot())

    def _undo(
        self,
        run: Run,
        trial: Trial | None,
        kind: EntryKind,
        opportunity: OptimizationOpportunity,
        request: OptimizationRequest,
        why: str,
    ) -> None:
        try:
            if trial is not None:
                trial.switch(False)
        except Exception as error:
            kind, why = "failed", f"{why}; and reverting it failed: {error!r}"
            log.error("optimization %s could not be reverted: %r", opportunity.id, error)
        self._note(run, kind, opportunity, request, why)

    def _conclude(self, run: Run, profile_id: str, target: str | None) -> OptimizationResult:
        profiles = self._host.snapshot().profiles
        if target is not None:
            profiles = [profile for profile in profiles if profile.id == profile_id]
        duration = self._host.clock() - run.began
        advice = self.recommendations(target)
        return conclude(profile_id, duration, run.steps, run.applied, mean_score(profiles), advice)

    def _optimizer(self, opportunity: OptimizationOpportunity) -> Optimizer:
        try:
            return self.optimizers[opportunity.optimizer]
        except KeyError:
            raise LookupError(f"optimizer {opportunity.optimizer!r} is not installed") from None

    def _ask(self, question: Callable[[Optimizer], Sequence[Item]]) -> list[Item]:
        found: list[Item] = []
        for name, optimizer in self.optimizers.items():
            try:
                found.extend(question(optimizer))
            except Exception as error:
                log.warning("optimizer %s failed and is left out: %r", name, error)
        return found

    def _note(
        self,
        run: Run,
        kind: EntryKind,
        opportunity: OptimizationOpportunity,
        request: OptimizationRequest,
        why: str,
    ) -> None:
        self.ledger.append(kind, opportunity, who=request.requested_by, why=why, run=run.id)

    def _tell(self, name: str, detail: object) -> None:
        try:
            self._host.on_event(name, detail)
        except Exception as error:
            log.warning("a listener for optimization events failed: %r", error)
