"""The run under way, for who asks how far it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from perfmw.contracts import AppliedOptimization, OptimizationOpportunity, OptimizationStepResult
from perfmw.optimization.planning import step_row


@dataclass(slots=True)
class Run:
    """``began`` is in unix seconds; ``planned`` and ``blocks`` are what there will be unless it stops."""

    id: str
    target: str
    began: float
    task: asyncio.Task[Any] | None
    planned: int = 0
    step: OptimizationOpportunity | None = None
    blocks_done: int = 0
    blocks: int = 0
    cancelled: bool = False
    steps: list[OptimizationStepResult] = field(default_factory=list)
    applied: list[AppliedOptimization] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "status": "running",
            "run": self.id,
            "target": self.target,
            "began": self.began,
            "step": {"id": self.step.id, "title": self.step.title} if self.step else None,
            "steps_done": len(self.steps),
            "steps": self.planned,
            "blocks_done": self.blocks_done,
            "blocks": self.blocks,
            "verdicts": [step_row(step) for step in self.steps],
        }
