"""What ``perfmw top`` shows: a look at a running perfmw, and its parts as rows. Pure but for ``look``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perfmw.cli.api import Api
from perfmw.cli.cachetables import as_bytes, as_count, as_seconds, as_share
from perfmw.cli.output import table

Row = Mapping[str, Any]
Rows = list[list[str]]
MOST = 1_000
SORTS: Mapping[str, Callable[[Row], Any]] = {
    "total": lambda row: -row["total"],
    "rate": lambda row: -row["rate"],
    "p95": lambda row: -row["p95"],
    "errors": lambda row: (-row["error_rate"], -row["errors"]),
    "hits": lambda row: -(row["hit_rate"] or 0.0),
    "name": lambda row: row["name"],
}
"""How routes can be ordered; the largest first, names from A."""

ROUTE_HEAD = ("route", "rate/s", "p50", "p95", "hits", "errors", "time", "n")
CACHE_HEAD = ("cache", "entries", "size", "bound", "hit rate", "evicted", "errors", "state")
POOL_HEAD = ("pool", "used", "capacity", "use")


@dataclass(frozen=True, slots=True)
class Look:
    """What a server told at ``at`` (unix time): rows as its API gives them."""

    at: float
    overview: Row
    routes: Sequence[Row]
    total_routes: int
    layers: Sequence[Row]
    pools: Sequence[Row]
    processes: Sequence[Row]
    alerts: Sequence[Row] = field(default=())

    def as_data(self) -> dict[str, Any]:
        """As JSON values: seconds, shares 0..1."""
        return {name: getattr(self, name) for name in Look.__slots__}


def look(api: Api) -> Look:
    """Ask once for everything. Raises what ``Api`` raises."""
    overview, routes = api.get("overview"), api.get("routes", limit=MOST)
    return Look(
        at=time.time(),
        overview=overview["overview"],
        routes=routes["items"],
        total_routes=routes["total"],
        layers=api.get("layers")["items"],
        pools=api.get("pools")["items"],
        processes=api.get("processes")["items"],
        alerts=[alert for alert in overview["alerts"] if alert.get("resolved_at") is None],
    )


def head_line(seen: Look) -> str:
    """The figures of the whole app in one line."""
    cards = [seen.overview[name] for name in ("performance_score", "cache_hit_rate", "response_time")]
    told = [f"{card['title'].lower()} {_card(card)}" for card in cards]
    rate = sum(row["rate"] for row in seen.routes)
    lags = [row["loop_lag_p99"] for row in seen.processes if row["loop_lag_p99"] is not None]
    memory = sum(row["memory_bytes"] or 0 for row in seen.processes)
    told.append(f"{rate:,.1f} requests/s")
    told.append(f"loop lag p99 {as_seconds(max(lags, default=None))}")
    count = len(seen.processes)
    told.append(f"{count} process{'es' * (count != 1)}, {as_bytes(memory or None)}")
    return " · ".join(told)


def _card(card: Row) -> str:
    value, unit = card["value"], card["unit"]
    if value is None:
        return "–"
    return f"{value:.0f}{unit}" if unit != "ms" else f"{value:.1f} ms"


def route_rows(seen: Look, sort: str, most: int) -> Rows:
    return [
        [
            row["name"],
            f"{row['rate']:,.1f}",
            as_seconds(row["p50"]),
            as_seconds(row["p95"]),
            as_share(row["hit_rate"]),
            as_share(row["error_rate"]),
            as_seconds(row["total"]),
            as_count(row["count"]),
        ]
        for row in sorted(seen.routes, key=SORTS[sort])[:most]
    ]


def cache_rows(seen: Look) -> Rows:
    rows = []
    for row in seen.layers:
        asked = row["hits"] + row["misses"]
        bound = row["max_bytes"]
        rows.append(
            [
                row["name"],
                as_count(row["entries"]),
                as_bytes(row["bytes"]),
                as_bytes(bound) if bound is not None else as_count(row["max_entries"]),
                as_share(row["hits"] / asked if asked else None),
                as_count(row["evictions"]),
                as_count(row["errors"]),
                "ok" if row.get("available", True) else "LEFT OUT",
            ]
        )
    return rows


def pool_rows(seen: Look) -> Rows:
    return [
        [
            row["name"],
            _amount(row["used"], row["unit"]),
            _amount(row["capacity"], row["unit"]),
            as_share(row["utilization"]),
        ]
        for row in seen.pools
    ]


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit.startswith("bytes"):
        return as_bytes(value) + unit.removeprefix("bytes")
    return f"{value:,.2f} {unit}"


def alert_lines(seen: Look) -> list[str]:
    """Open alerts, the last one first, with how long they have been open."""
    newest = sorted(seen.alerts, key=lambda alert: -alert["raised_at"])
    return [
        f"{alert['severity']}: {alert['message']} (for {as_seconds(seen.at - alert['raised_at'])})"
        for alert in newest
    ]


def as_text(seen: Look, sort: str, most: int) -> str:
    """Everything as plain text."""
    moment = time.strftime("%H:%M:%S", time.localtime(seen.at))
    right = frozenset(range(1, len(ROUTE_HEAD)))
    parts = [
        f"{moment} · {head_line(seen)}",
        table(ROUTE_HEAD, route_rows(seen, sort, most), right=right),
        table(CACHE_HEAD, cache_rows(seen), right=frozenset(range(1, 7))),
        table(POOL_HEAD, pool_rows(seen), right=frozenset({1, 2, 3})),
        "\n".join(f"! {line}" for line in alert_lines(seen)) or "no open alerts",
    ]
    if seen.total_routes > most:
        parts.insert(2, f"… {seen.total_routes - most:,} routes more; see --most")
    return "\n\n".join(parts)
