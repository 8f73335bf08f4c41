"""Limits, quotas and the forecast, for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmw.exporters.exposition import Family


def limit_families(limits: Mapping[str, Any]) -> list[Family]:
    """Of all workers of the host; nothing where nothing is limited."""
    return [*_groups(limits.get("groups", ())), *_quotas(limits.get("quotas", ()))]


def _groups(rows: Any) -> list[Family]:
    if not rows:
        return []
    limit = Family("perfmw_concurrency_limit", "gauge", "Requests that may be under way at once.")
    inside = Family("perfmw_concurrency_in_flight", "gauge", "Requests that are under way.")
    waiting = Family("perfmw_concurrency_waiting", "gauge", "Requests that wait for their turn.")
    admitted = Family("perfmw_concurrency_admitted_total", "counter", "Requests let in.")
    refused = Family(
        "perfmw_concurrency_refused_total", "counter", "Requests refused, or that would have been."
    )
    for row in rows:
        group = ("group", str(row["group"]))
        limit.add(row["limit"], group)
        inside.add(row["in_flight"], group)
        waiting.add(row["waiting"], group)
        for priority, count in row["admitted"].items():
            admitted.add(count, group, ("priority", priority))
        for priority, count in row["refused"].items():
            refused.add(count, group, ("priority", priority))
    return [limit, inside, waiting, admitted, refused]


def _quotas(rows: Any) -> list[Family]:
    if not rows:
        return []
    allowed = Family("perfmw_quota_allowed_total", "counter", "Requests that a quota counted.")
    refused = Family("perfmw_quota_refused_total", "counter", "Requests that exceeded a quota.")
    for row in rows:
        quota = ("quota", str(row["quota"]))
        allowed.add(row["allowed"], quota)
        refused.add(row["refused"], quota)
    return [allowed, refused]


def forecast_families(forecast: Mapping[str, Any]) -> list[Family]:
    """The workers it takes, from the start on; after the first minute also the rate and what it will be.

    Without a number autoscalers would take it for 0 after each restart.
    """
    if "wanted" not in forecast:
        return []  # of a snapshot without one
    wanted = Family("perfmw_workers_wanted", "gauge", "Workers that will be needed in an hour.")
    wanted.add(forecast["wanted"])
    if forecast.get("rate") is None:
        return [wanted]
    rate = Family("perfmw_request_rate", "gauge", "Requests a second, of the last minute.")
    rate.add(forecast["rate"])
    expected = Family("perfmw_request_rate_expected", "gauge", "Requests a second in an hour.")
    expected.add(forecast["expected"])
    return [rate, expected, wanted]
