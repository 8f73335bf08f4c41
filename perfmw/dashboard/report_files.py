"""The performance report as files: one HTML file that needs no other, JSON, Markdown."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from perfmw.dashboard.assets import asset_text
from perfmw.dashboard.figures import duration
from perfmw.dashboard.host import Host
from perfmw.dashboard.periods import charts_of
from perfmw.dashboard.render import NEEDS_JINJA, load_templates
from perfmw.dashboard.report import Report, gather
from perfmw.dashboard.view import to_json
from perfmw.monitoring.telling import ReportFile

_ROUTES = 20


def make(runtime: Host) -> ReportFile:
    """A report of this moment. Raises RuntimeError without jinja2."""
    report = gather(runtime, runtime.snapshot())
    data = to_json(report)
    text = markdown(json.loads(data))
    return ReportFile(report.file_name, report.title, _summary(report), html(report).encode(), data, text)


def html(report: Report) -> str:
    """One file: styles and charts are in it. Raises RuntimeError without jinja2."""
    templates = load_templates()
    if templates is None:
        raise RuntimeError(NEEDS_JINJA)
    style = asset_text("app.css")
    return templates.get_template("report.html").render(
        base="./", role="read", theme=None, report=report, style=style, charts=charts_of(report.course)
    )


def _summary(report: Report) -> str:
    figures = [
        f"{stat.title}: {stat.value:.4g} {stat.unit}" for stat in report.stats if stat.value is not None
    ]
    open_alerts = sum(alert.resolved_at is None for alert in report.alerts)
    return "; ".join([*figures, f"open alerts: {open_alerts}"])


def markdown(data: Mapping[str, Any]) -> str:
    """The report of its JSON, for chats, wikis and pull requests."""
    parts = [
        f"# {_when('Performance report, %d %B %Y, %H:%M UTC', data['taken_at'])}",
        _cell(data["product"]),
    ]
    stats = [value for value in data["overview"].values() if isinstance(value, dict)]
    parts.append(
        _table(("Figure", "Value"), ((one["title"], _value(one["value"], one["unit"])) for one in stats))
    )
    compared = data.get("comparison", [])
    rows = (
        (one["name"], _value(one["now"], one["unit"]), _value(one["before"], one["unit"])) for one in compared
    )
    parts += _section("Compared with before", ("Figure", "Now", "Before"), rows)
    routes = (
        (one["name"], one["count"], _ms(one["p50"]), _ms(one["p95"]), _share(one["hit_rate"]), one["errors"])
        for one in data["routes"][:_ROUTES]
    )
    parts += _section("Routes", ("Route", "Requests", "p50", "p95", "Hits", "Errors"), routes)
    alerts = (
        (_when("%Y-%m-%d %H:%M", one["raised_at"]), one["severity"], one["message"], _over(one))
        for one in data["alerts"]
    )
    parts += _section("Alerts", ("Raised", "Severity", "What", "State"), alerts)
    ledger = (
        (
            _when("%Y-%m-%d %H:%M", one["at"]),
            one["title"],
            one["word"],
            _share(one["improvement"]),
            one["why"],
        )
        for one in data["ledger"]
    )
    parts += _section("Ledger", ("When", "What", "Verdict", "Gain", "Why"), ledger)
    return "\n\n".join([*parts, *_advice(data.get("recommendations", []))]) + "\n"


def _advice(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What people can do themselves, each with the code to paste."""
    parts = ["## What to do"] if rows else []
    for one in rows:
        saved = one["saved_seconds_per_day"]
        about = f" About {duration(saved)} a day." if saved else ""
        parts.append(f"**{_cell(one['title'])}** {_cell(one['detail'])}{about}")
        if one["snippet"]:
            fence = "`" * (1 + max(2, *map(len, re.findall("`+", one["snippet"])), 0))
            parts.append(f"{fence}\n{one['snippet']}\n{fence}")
    return parts


def _section(title: str, head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    found = list(rows)
    return [f"## {title}", _table(head, found)] if found else []


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(_cell, row)) + " |" for row in rows)])


def _cell(value: object) -> str:
    """Text that stays within its cell, and is no markup."""
    text = " ".join(str(value).split()).replace("\\", "\\\\")
    for sign in "|<>[]`*_":
        text = text.replace(sign, f"\\{sign}")
    return text


def _value(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.4g} {unit}".strip()


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _over(alert: Mapping[str, Any]) -> str:
    return "open" if alert["resolved_at"] is None else "resolved"


def _when(form: str, moment: float) -> str:
    return time.strftime(form, time.gmtime(moment))
