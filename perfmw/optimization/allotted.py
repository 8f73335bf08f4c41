"""Shares and bounds that the runtime worked out otherwise than they are: put to the test. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from perfmw.contracts import OptimizationOpportunity, PotentialOptimization, RuntimeSnapshot
from perfmw.optimization.cache_route import DAY
from perfmw.optimization.host import EVERYTHING
from perfmw.optimization.option import Found, OptionOptimizer

WANTED: Final = "wanted:"
"""How the name of an option begins that tells what another should be.

Its value is a mapping: ``type``, ``why``, and where there is something to try ``value``, ``before``,
``title``, ``evidence``, ``gain`` (0..1), ``seconds`` (spared in each second), ``target``, and ``spares``.
"""


def allotted(option: str, plan: Mapping[str, Any]) -> OptimizationOpportunity:
    """A plan that has something to try, to be put to the test."""
    return OptimizationOpportunity(
        f"{AllotmentOptimizer.name}:{option}:{_short(plan['value'])}",
        plan["type"],
        plan.get("target", EVERYTHING),
        plan["title"],
        AllotmentOptimizer.name,
        {"option": option, "value": plan["value"], "before": plan["before"]},
        plan["evidence"],
        expected_gain=plan["gain"],
        saved_seconds_per_day=plan["seconds"] * DAY,
        risk="medium",
        level="advanced",
        spares=plan.get("spares", ""),
    )


class AllotmentOptimizer(OptionOptimizer):
    """Parts of the memory for the kinds of what is cached, its size, and a higher bound of a limit that is
    reached.

    What they should be is worked out where the traffic is seen, by marginal utility or by who is refused;
    whether it helps is for the trial to say.
    """

    name = "allotment"

    def _found(self, snapshot: RuntimeSnapshot) -> Found:
        for name, plan in snapshot.options.items():
            if name.startswith(WANTED):
                yield self._of(name.removeprefix(WANTED), plan)

    def objection(self, opportunity: OptimizationOpportunity, snapshot: RuntimeSnapshot) -> str | None:
        """Against a smaller memory, once what is read needs more of it."""
        parameters = opportunity.parameters
        plan = snapshot.options.get(f"{WANTED}{parameters.get('option')}", {})
        if not opportunity.spares or "value" not in plan or plan["value"] <= parameters["value"]:
            return None
        return f"more is read by now: {plan['title']}"

    def _of(self, option: str, plan: Mapping[str, Any]) -> OptimizationOpportunity | PotentialOptimization:
        if "value" not in plan:
            return PotentialOptimization(plan["type"], EVERYTHING, plan["why"])
        return allotted(option, plan)


def _short(value: Any) -> str:
    """Plans that hardly differ have one id, or what was tried would be tried again and again."""
    if isinstance(value, Mapping):
        return ",".join(f"{kind}={share:.1f}" for kind, share in sorted(value.items())) or "none"
    return f"{value:g}"
