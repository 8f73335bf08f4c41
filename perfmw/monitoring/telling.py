"""Alerts in words, and what a report is to a channel. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from perfmw.contracts import Alert

_MARKS: Final = {"high": "HIGH", "medium": "Medium", "low": "Low"}
_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A performance report, made: ``html`` is one file that needs no other, ``json`` the same as data."""

    name: str
    title: str
    summary: str
    html: bytes
    json: bytes
    markdown: str


def title_of(alert: Alert) -> str:
    """One line, at most 150 characters: how bad, and what."""
    mark = "Resolved" if alert.resolved_at is not None else _MARKS[alert.severity]
    again = " (update)" if alert.stage == "updated" else ""
    text = f"{mark}{again}: {alert.message}"
    return text if len(text) <= 150 else text[:149] + "…"


def plain_text(alert: Alert) -> str:
    """What an e-mail says: what, since when, how much, how sure, and what moved with it."""
    details = alert.details
    lines = [alert.message, "", f"Severity: {alert.severity}", f"Raised: {clock(alert.raised_at)}"]
    if alert.resolved_at is not None:
        lasted = alert.resolved_at - alert.raised_at
        lines.append(f"Resolved: {clock(alert.resolved_at)}, after {lasted:.0f} s")
    if isinstance(details.get("since"), int | float):
        lines.append(f"Since: {clock(details['since'])}")
    if isinstance(details.get("confidence"), int | float):
        lines.append(f"Confidence: {details['confidence']:.4f}")
    lines += _list("What was found", [one["message"] for one in details.get("findings", [])])
    lines += _list("What moved with it", [one["text"] for one in details.get("moved_with", [])])
    return "\n".join(lines) + "\n"


def _list(title: str, items: list[Any]) -> list[str]:
    if not items:
        return []
    more = [f"… and {len(items) - _LISTED} more"] if len(items) > _LISTED else []
    return ["", f"{title}:", *(f"- {item}" for item in items[:_LISTED]), *more]


def clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
