"""What could be done and what stands, sorted by profile. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from perfmw.contracts import (
    AppliedOptimization,
    OptimizationOpportunity,
    OptimizationRecommendation,
    OptimizationStepResult,
    PerformanceProfile,
    PerformanceProfileConfig,
    PotentialOptimization,
    ProfileMetadata,
    ProfileMonitoring,
    ProfileOptimizations,
)
from perfmw.optimization.ledger import LedgerEntry


@dataclass(frozen=True, slots=True)
class Survey:
    """The opportunities, what lacks evidence, advice and what stands, of all targets, at one moment."""

    identified: Sequence[OptimizationOpportunity] = ()
    potential: Sequence[PotentialOptimization] = ()
    recommendations: Sequence[OptimizationRecommendation] = ()
    applied: Sequence[AppliedOptimization] = ()
    at: float = 0.0
    """Unix seconds; 0 before anybody looked."""
    _by_target: dict[str, ProfileOptimizations] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for opportunity in self.identified:
            self._at(opportunity.target).identified.append(opportunity)
        for potential in self.potential:
            self._at(potential.target).potential.append(potential)
        for advice in self.recommendations:
            self._at(advice.target).recommendations.append(advice)
        for applied in self.applied:
            self._at(applied.target).applied.append(applied)

    def whole(self) -> ProfileOptimizations:
        """Those of all targets."""
        return ProfileOptimizations(
            list(self.identified), list(self.applied), list(self.potential), list(self.recommendations)
        )

    def of(self, target: str) -> ProfileOptimizations | None:
        """Those of one target; None when there is nothing to say. Not to be changed."""
        return self._by_target.get(target)

    def _at(self, target: str) -> ProfileOptimizations:
        return self._by_target.setdefault(target, ProfileOptimizations())


def chosen_for(profile: PerformanceProfile, config: PerformanceProfileConfig) -> PerformanceProfile:
    """A copy of ``profile`` with what was chosen for it."""
    return replace(
        profile,
        name=config.name or profile.name,
        performance=replace(profile.performance, targets=config.targets or profile.performance.targets),
        monitoring=ProfileMonitoring(
            config.monitoring_enabled,
            config.monitoring_frequency,
            list(config.alert_thresholds),
            config.reporting_schedule,
        ),
        metadata=ProfileMetadata(
            profile.metadata.created_at,
            profile.metadata.last_analyzed,
            config.optimization_level,
            config.auto_optimization,
        ),
    )


def applied_of(entry: LedgerEntry) -> AppliedOptimization:
    """The change that a ledger entry keeps."""
    one = entry.opportunity
    result = OptimizationStepResult(
        one.id,
        True,
        verdict="kept",
        improvement=entry.improvement,
        interval=entry.interval,
        before=entry.before,
        after=entry.after,
        reason=entry.why,
    )
    return AppliedOptimization(one.id, one.type, one.target, one.parameters, entry.at, result)


def built_upon(
    opportunity: OptimizationOpportunity, kept: Sequence[LedgerEntry]
) -> list[OptimizationOpportunity]:
    """Kept changes of the same rule that came later: without the first they mean nothing."""
    rule = opportunity.parameters.get("rule_id")
    since = next((entry.id for entry in kept if entry.opportunity.id == opportunity.id), None)
    if rule is None or since is None:
        return []
    later = [
        entry for entry in kept if entry.id > since and entry.opportunity.parameters.get("rule_id") == rule
    ]
    return [entry.opportunity for entry in reversed(later)]
