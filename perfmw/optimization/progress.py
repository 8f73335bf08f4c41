"""The run under way, for who asks how far it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from perfmw.contracts import AppliedOptimization, OptimizationOpportunity, OptimizationStepResult
from perfmw.optimization.planning import step_row


@dataclass(slots=True)
class Trying:
    """A change on trial; ``planned`` is how many blocks there will be unless it stops."""

    opportunity: OptimizationOpportunity
    done: int = 0
    planned: int = 0


@dataclass(slots=True)
class Run:
    """``began`` is in unix seconds; ``planned`` steps will be tried, ``trying`` are on trial, by id."""

    id: str
    target: str
    began: float
    task: asyncio.Task[Any] | None
    planned: int = 0
    trying: dict[str, Trying] = field(default_factory=dict)
    cancelled: bool = False
    steps: list[OptimizationStepResult] = field(default_factory=list)
    applied: list[AppliedOptimization] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """JSON values; ``step`` and its blocks are the first's of those on trial."""
        first = next(iter(self.trying.values()), None)
        return {
            "status": "running",
            "run": self.id,
            "target": self.target,
            "began": self.began,
            "step": {"id": first.opportunity.id, "title": first.opportunity.title} if first else None,
            "trying": [
                {"id": key, "title": one.opportunity.title, "blocks_done": one.done, "blocks": one.planned}
                for key, one in self.trying.items()
            ],
            "steps_done": len(self.steps),
            "steps": self.planned,
            "blocks_done": first.done if first else 0,
            "blocks": first.planned if first else 0,
            "verdicts": [step_row(step) for step in self.steps],
        }
