"""A Grafana dashboard for the metrics of ``PrometheusExporter``, as JSON to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

Durations = Literal["quantiles", "histograms", "native"]
"""How durations are told: see the settings ``prometheus_histograms`` and ``prometheus_native``."""
Unit = Literal["reqps", "s", "percentunit", "bytes", "short", "ops"]
SCHEMA_VERSION: Final = 39
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_HERE: Final = 'job=~"$job",instance=~"$instance"'
_ROUTE: Final = f'{_HERE},route=~"$route"'


@dataclass(slots=True, frozen=True)
class Panel:
    """A chart: its expressions with their legends, the unit of its axis, a sentence."""

    title: str
    unit: Unit
    queries: tuple[tuple[str, str], ...]
    note: str = ""


def panels(durations: Durations = "quantiles") -> list[Panel]:
    """The charts, for durations told as quantiles or as histograms."""
    return [*_traffic(durations), *_judgements(), *_machine(durations)]


def _sum_and_count(metric: str, labels: str, native: bool) -> tuple[str, str]:
    """Rates of seconds and of operations."""
    if native:
        rate = f"rate({metric}{{{labels}}}[$__rate_interval])"
        return f"histogram_sum({rate})", f"histogram_count({rate})"
    return tuple(f"rate({metric}_{part}{{{labels}}}[$__rate_interval])" for part in ("sum", "count"))  # type: ignore[return-value]


def _traffic(durations: Durations) -> list[Panel]:
    seconds, answers = _sum_and_count("perfmw_request_duration_seconds", _ROUTE, durations == "native")
    total = f"perfmw_requests_total{{{_ROUTE}}}"
    hits = f'perfmw_requests_total{{{_ROUTE},outcome="hit"}}'
    return [
        Panel("Requests", "reqps", ((f"sum by (outcome) (rate({total}[$__rate_interval]))", "{{outcome}}"),)),
        Panel(
            "Cache hit rate",
            "percentunit",
            ((f"sum(rate({hits}[$__rate_interval])) / sum(rate({total}[$__rate_interval]))", "hit rate"),),
        ),
        Panel(
            "Mean response time",
            "s",
            ((f"sum by (route) ({seconds}) / sum by (route) ({answers})", "{{route}}"),),
        ),
        _percentiles(durations),
    ]


def _judgements() -> list[Panel]:
    return [
        Panel(
            "Failures",
            "reqps",
            (
                (
                    f"sum by (route, kind) (rate(perfmw_request_errors_total{{{_ROUTE}}}[$__rate_interval]))",
                    "{{route}} {{kind}}",
                ),
            ),
        ),
        Panel(
            "Performance score",
            "short",
            (
                (f"avg(perfmw_score{{{_HERE}}})", "all"),
                (f'perfmw_profile_score{{{_HERE},type="component"}}', "{{name}}"),
            ),
            "0 to 100: latency, errors, experience, resources and throughput against their targets.",
        ),
        Panel("Apdex", "percentunit", ((f"perfmw_request_apdex_ratio{{{_ROUTE}}}", "{{route}}"),)),
        Panel(
            "Why requests were forwarded",
            "ops",
            (
                (
                    f"sum by (status) (rate(perfmw_cache_responses_total{{{_HERE}}}[$__rate_interval]))",
                    "{{status}}",
                ),
            ),
            "The words of Cache-Status (RFC 9211).",
        ),
    ]


def _machine(durations: Durations) -> list[Panel]:
    spent, _ = _sum_and_count("perfmw_operation_duration_seconds", _HERE, durations == "native")
    return [
        Panel("Cache layers", "bytes", ((f"perfmw_cache_layer_size_bytes{{{_HERE}}}", "{{layer}} held"),)),
        Panel("Resources", "percentunit", ((f"perfmw_pool_utilization_ratio{{{_HERE}}}", "{{pool}}"),)),
        Panel(
            "Event loop lag",
            "s",
            ((f'perfmw_event_loop_lag_seconds{{{_HERE},statistic="p99"}}', "p99 of worker {{pid}}"),),
            "How late the loop comes: time for which a function held it up.",
        ),
        Panel(
            "Queries, calls and jobs",
            "s",
            ((f"topk(10, {spent})", "{{name}}"),),
            "Seconds a second spent in each.",
        ),
    ]


def _percentiles(durations: Durations) -> Panel:
    if durations != "quantiles":
        suffix, labels = ("", "route") if durations == "native" else ("_bucket", "le, route")
        bucket = f"perfmw_request_duration_seconds{suffix}{{{_ROUTE}}}"
        grouped = f"sum by ({labels}) (rate({bucket}[$__rate_interval]))"
        queries = tuple(
            (f"histogram_quantile({q}, {grouped})", f"{{{{route}}}} {q}") for q in (0.5, 0.95, 0.99)
        )
        return Panel("Response time percentiles", "s", queries)
    summary = f'perfmw_request_duration_seconds{{{_ROUTE},quantile=~"0.5|0.95|0.99"}}'
    note = "Since the start of the profiles; with prometheus_histograms they follow the time range."
    return Panel("Response time percentiles", "s", ((summary, "{{route}} {{quantile}}"),), note)


def dashboard(durations: Durations = "quantiles") -> dict[str, Any]:
    """The dashboard's JSON model. It asks for a Prometheus source, jobs, instances and routes."""
    return {
        "title": "perfmw",
        "uid": "perfmw-overview",
        "tags": ["perfmw", "asgi"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": _variables()},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels(durations))],
    }


def _variables() -> list[dict[str, Any]]:
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Data source"}
    asked = (
        ("job", "label_values(perfmw_build_info, job)"),
        ("instance", 'label_values(perfmw_build_info{job=~"$job"}, instance)'),
        ("route", f"label_values(perfmw_requests_total{{{_HERE}}}, route)"),
    )
    return [source, *(_variable(name, query) for name, query in asked)]


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.note,
        "datasource": _SOURCE,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(65 + place), "expr": query, "legendFormat": legend, "datasource": _SOURCE}
            for place, (query, legend) in enumerate(panel.queries)
        ],
    }
