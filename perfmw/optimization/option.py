"""What optimizers that set one option of the runtime have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from perfmw.contracts import (
    Controls,
    OptimizationOpportunity,
    PerformanceProfile,
    PotentialOptimization,
    RuntimeSnapshot,
)
from perfmw.optimization.cache_route import DAY

Found = Iterator[OptimizationOpportunity | PotentialOptimization]


def requests_a_second(snapshot: RuntimeSnapshot) -> float:
    """Of all routes. What was counted may be older than the process: its own rate says over what time."""
    return sum(one.metrics.throughput.per_second for one in snapshot.profiles if one.type == "component")


def seconds_a_day(snapshot: RuntimeSnapshot) -> float:
    """What all requests take together."""
    return sum(spent_a_day(one) for one in snapshot.profiles if one.type == "component")


def spent_a_day(profile: PerformanceProfile) -> float:
    """What all calls of a target take, in seconds."""
    return profile.metrics.latency.mean * profile.metrics.throughput.per_second * DAY


class OptionOptimizer(ABC):
    """Proposes values of options; their parameters are ``option``, ``value`` and ``before``."""

    @abstractmethod
    def _found(self, snapshot: RuntimeSnapshot) -> Found:
        """What could be set, and why something is left as it is."""

    def propose(self, snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        """Pure. The most time saved first."""
        found = [one for one in self._found(snapshot) if isinstance(one, OptimizationOpportunity)]
        return sorted(found, key=lambda one: (-one.saved_seconds_per_day, one.id))

    def explain(self, snapshot: RuntimeSnapshot) -> list[PotentialOptimization]:
        """Why an option is left as it is."""
        return [one for one in self._found(snapshot) if isinstance(one, PotentialOptimization)]

    def apply(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        """Raises ValueError for an option that is not there, or a value that it does not take."""
        controls.set_option(str(opportunity.parameters.get("option")), opportunity.parameters.get("value"))

    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        controls.set_option(str(opportunity.parameters.get("option")), opportunity.parameters.get("before"))
