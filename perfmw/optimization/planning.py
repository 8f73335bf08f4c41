"""Which opportunities to try, in which order, and what a run came to. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from perfmw.contracts import (
    AppliedOptimization,
    OptimizationLevel,
    OptimizationOpportunity,
    OptimizationRecommendation,
    OptimizationRequest,
    OptimizationResult,
    OptimizationStepResult,
    PerformanceProfile,
    PotentialOptimization,
    RuntimeSnapshot,
)
from perfmw.optimization.host import EVERYTHING as EVERYTHING

MOST_LONGER = 4.0
"""The longest blocks of a run beside the shortest."""
LEVELS: tuple[OptimizationLevel, ...] = ("basic", "advanced", "aggressive")


@runtime_checkable
class Explains(Protocol):
    """An optimizer that can say what it lacks before it would propose."""

    def explain(self, snapshot: RuntimeSnapshot) -> Sequence[PotentialOptimization]: ...


@runtime_checkable
class Recommends(Protocol):
    """An optimizer with advice for the app's developers."""

    def recommend(
        self, snapshot: RuntimeSnapshot, target: str | None = None
    ) -> Sequence[OptimizationRecommendation]: ...


@runtime_checkable
class Objects(Protocol):
    """An optimizer that can say what evidence has come to speak against a change that is on."""

    def objection(self, opportunity: OptimizationOpportunity, snapshot: RuntimeSnapshot) -> str | None: ...


def check_request(request: OptimizationRequest) -> None:
    """Raises ValueError naming the field that makes no sense."""
    if request.level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}, not {request.level!r}")
    if min(request.max_steps, request.blocks, request.at_once) < 1:
        raise ValueError("max_steps, blocks and at_once must be at least 1")
    if request.block_requests < 0:
        raise ValueError(f"block_requests must not be negative, as {request.block_requests!r} is")
    if not (math.isfinite(request.block_seconds) and request.block_seconds > 0):
        raise ValueError(f"block_seconds must be a positive number, not {request.block_seconds!r}")


def choose(
    opportunities: Iterable[OptimizationOpportunity], request: OptimizationRequest, target: str | None = None
) -> list[OptimizationOpportunity]:
    """The steps of a run: what the request allows, the most seconds saved first."""
    allowed = LEVELS[: LEVELS.index(request.level) + 1]
    fitting = (
        item
        for item in opportunities
        if item.level in allowed
        and (not request.types or item.type in request.types)
        and target in (None, item.target)
    )
    return sorted(fitting, key=lambda item: (-item.saved_seconds_per_day, item.id))[: request.max_steps]


def promise(opportunity: OptimizationOpportunity) -> str:
    """What is expected of it, for the ledger."""
    return f"would save {opportunity.spares or f'{opportunity.expected_gain:.0%}'}"


def share_out(
    steps: Sequence[OptimizationOpportunity], profiles: Iterable[PerformanceProfile], seconds: float
) -> list[float]:
    """Seconds of a block for each step, ``seconds`` on average.

    A quiet route needs longer blocks to show as much: the time goes by the square root of how rarely it is
    asked for, which makes the verdicts' errors add up to the least.
    """
    rates = {one.name: one.metrics.throughput.per_second for one in profiles}
    known = [rates.get(step.target, 0.0) for step in steps]
    busiest = max(known, default=0.0)
    weights = [min(MOST_LONGER, math.sqrt(busiest / rate)) if rate > 0 else 1.0 for rate in known]
    return [seconds * len(steps) * weight / sum(weights) for weight in weights]


def batches(
    steps: Sequence[OptimizationOpportunity], lengths: Sequence[float], at_once: int
) -> list[list[tuple[OptimizationOpportunity, float]]]:
    """The steps that are on trial at a time, in order, each with the seconds of its blocks.

    Each of them has an order of blocks of its own, drawn by lot: what one does to the load of another may be
    in its blocks with the change as well as in those without, so it makes the verdict less sure, not wrong.
    What concerns everything, is critical, or can not be toggled is tried alone.
    """
    found: list[list[tuple[OptimizationOpportunity, float]]] = []
    for step, seconds in zip(steps, lengths, strict=True):
        batch = found[-1] if found else []
        room = 0 < len(batch) < at_once and not _alone(step) and not _alone(batch[0][0])
        if room and all(step.target != other.target for other, _ in batch):
            batch.append((step, seconds))
        else:
            found.append([(step, seconds)])
    means = [sum(seconds for _, seconds in batch) / len(batch) for batch in found]
    return [[(step, mean) for step, _ in batch] for batch, mean in zip(found, means, strict=True)]


def _alone(step: OptimizationOpportunity) -> bool:
    return step.critical or not step.toggles or step.target == EVERYTHING


def conclude(
    profile_id: str,
    duration: float,
    steps: Sequence[OptimizationStepResult],
    applied: Sequence[AppliedOptimization],
    score: float | None,
    recommendations: Sequence[OptimizationRecommendation],
) -> OptimizationResult:
    """The result of a run. Success is a step whose change was kept; a skipped step was not executed."""
    return OptimizationResult(
        profile_id=profile_id,
        optimization_duration=duration,
        steps_executed=sum(step.verdict != "skipped" for step in steps),
        successful_steps=sum(step.success for step in steps),
        performance_improvement=overall_improvement(steps, applied),
        applied_optimizations=list(applied),
        new_performance_score=score,
        recommendations=list(recommendations),
        steps=list(steps),
    )


def overall_improvement(
    steps: Sequence[OptimizationStepResult], applied: Sequence[AppliedOptimization]
) -> float | None:
    """Kept changes of one target compound; targets weigh by the time they took before.

    None when nothing was measured; 0.0 when what was measured was not kept.
    """
    if all(step.improvement is None for step in steps):
        return None
    left: dict[str, float] = {}
    weight: dict[str, float] = {}
    for item in applied:
        before = item.result.before
        left[item.target] = left.get(item.target, 1.0) * (1 - (item.result.improvement or 0.0))
        weight.setdefault(item.target, before.mean * before.requests if before else 0.0)
    total = sum(weight.values())
    return sum(weight[name] * (1 - left[name]) for name in left) / total if total else 0.0


def find_profile(profiles: Iterable[PerformanceProfile], profile_id: str) -> PerformanceProfile:
    """By id, else by name. Raises KeyError."""
    named = None
    for profile in profiles:
        if profile.id == profile_id:
            return profile
        if profile.name == profile_id:
            named = profile
    if named is None:
        raise KeyError(f"no profile {profile_id!r}")
    return named


def mean_score(profiles: Iterable[PerformanceProfile]) -> float | None:
    """The scores' mean, each weighed by its requests; None when no profile has a score."""
    scored = [
        (profile.performance.current_score, max(profile.metrics.throughput.count, 1))
        for profile in profiles
        if profile.performance.current_score is not None
    ]
    weight = sum(count for _, count in scored)
    return sum(score * count for score, count in scored) / weight if weight else None


def as_row(result: OptimizationResult) -> dict[str, Any]:
    """A result in JSON values, for the dashboard."""
    return {
        "profile_id": result.profile_id,
        "duration": result.optimization_duration,
        "steps_executed": result.steps_executed,
        "successful_steps": result.successful_steps,
        "performance_improvement": result.performance_improvement,
        "new_performance_score": result.new_performance_score,
        "steps": [step_row(step) for step in result.steps],
    }


def step_row(step: OptimizationStepResult) -> dict[str, Any]:
    return {
        "step_id": step.step_id,
        "verdict": step.verdict,
        "reason": step.reason,
        "error": step.error,
        "improvement": step.improvement,
        "interval": list(step.interval) if step.interval else None,
        "duration": step.duration,
    }
