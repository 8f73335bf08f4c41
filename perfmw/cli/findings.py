"""What ``perfmw doctor`` found: one thing that is wrong or doubtful, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """``code`` is stable, for scripts; ``what`` says what is the matter and ``fix`` what to do about it."""

    severity: Severity
    code: str
    what: str
    fix: str


def error(code: str, what: str, fix: str) -> Finding:
    """Something does not work, or gives one person's response to another."""
    return Finding("error", code, what, fix)


def warning(code: str, what: str, fix: str) -> Finding:
    """Something works less well than it looks, or will not work one day."""
    return Finding("warning", code, what, fix)


def hint(code: str, what: str, fix: str) -> Finding:
    """Something that may be as it is meant to be."""
    return Finding("note", code, what, fix)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first, each told once."""
    return sorted(dict.fromkeys(findings), key=lambda found: SEVERITIES.index(found.severity))


def summary(findings: Sequence[Finding]) -> str:
    """``1 error, 2 warnings``."""
    counts = [(sum(found.severity == kind for found in findings), kind) for kind in SEVERITIES]
    told = [f"{count} {kind}{'s' * (count > 1)}" for count, kind in counts if count]
    return ", ".join(told) or "nothing to mend"
