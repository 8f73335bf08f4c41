"""Short ways to say the commonest cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.conformance.model import Case, Level, Pair, Step

HOUR = ("Cache-Control", "max-age=3600")


def reused(
    id: str, section: str, title: str, answer: Sequence[Pair], *, level: Level = "optimal", **first: Any
) -> Case:
    """The response is stored, and a second request gets it without the origin being asked."""
    return Case(id, section, level, title, [Step(answer=answer, **first), Step(expect="cached")])


def asked_again(
    id: str, section: str, title: str, answer: Sequence[Pair], *, level: Level = "required", **first: Any
) -> Case:
    """A second request must reach the origin and get its new response."""
    second = {key: value for key, value in first.items() if key not in ("wait", "interim")}
    steps = [Step(answer=answer, **first), Step(answer=answer, expect="origin", **second)]
    return Case(id, section, level, title, steps)


def case(id: str, section: str, level: Level, title: str, *steps: Step) -> Case:
    return Case(id, section, level, title, steps)
