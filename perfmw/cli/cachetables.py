"""What ``perfmw cache`` found, for people."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from perfmw.cli.output import table

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_SPANS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def as_bytes(count: float | None) -> str:
    """``12.3 MiB``."""
    if count is None:
        return "–"
    size = float(count)
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    raise AssertionError


def as_seconds(seconds: float | None) -> str:
    """``1.2 ms``, ``3.4 h``."""
    if seconds is None:
        return "–"
    for span, unit in _SPANS:
        if abs(seconds) >= span:
            return f"{seconds / span:,.1f} {unit}"
    return "0 s"


def as_share(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def as_count(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def statistics(data: Mapping[str, Any], most: int) -> str:
    """What ``GET api/v1/cache`` told; of routes and functions the ``most`` asked for."""
    layers = data["layers"]
    parts = [layer_table(layers), layer_reads(layers)]
    for title in ("namespaces", "routes", "functions"):
        uses = sorted(data[title], key=lambda use: -(use["hits"] + use["misses"]))
        if uses:
            parts.append(use_table(title.removesuffix("s"), uses[:most]))
        if len(uses) > most:
            parts.append(f"… and {len(uses) - most:,} {title} more: --most {len(uses)}")
    waited = f"{data['coalesced']:,} callers waited for another's call, {data['timeouts']:,} in vain"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(data["since"]))
    return "\n\n".join([*parts, f"{waited}; layers and functions count since {since}"])


def held_table(layers: Sequence[Mapping[str, Any]]) -> str:
    """What each layer holds, where nobody counted anything else."""
    rows = [
        [layer["name"], layer["kind"], as_count(layer["entries"]), as_bytes(layer["bytes"]), _bound(layer)]
        for layer in layers
    ]
    return table(("layer", "kind", "entries", "size", "bound"), rows, right=frozenset({2, 3, 4}))


def layer_table(layers: Sequence[Mapping[str, Any]]) -> str:
    """What each layer holds, and why entries left it."""
    head = ("layer", "entries", "size", "bound", "fills", "evicted", "expired", "invalidated", "replaced")
    rows = [
        [
            layer["name"],
            as_count(layer["entries"]),
            as_bytes(layer["bytes"]),
            _bound(layer),
            as_count(layer["fills"]),
            as_count(layer["evictions"]),
            as_count(layer["expirations"]),
            as_count(layer["invalidations"]),
            as_count(layer["replacements"]),
        ]
        for layer in layers
    ]
    return table(head, rows, right=frozenset(range(1, len(head))))


def _bound(layer: Mapping[str, Any]) -> str:
    most = layer["max_bytes"]
    return as_bytes(most) if most is not None else as_count(layer["max_entries"])


def layer_reads(layers: Sequence[Mapping[str, Any]]) -> str:
    """How each layer was read."""
    head = ("layer", "hits", "misses", "hit rate", "read", "p50", "p99", "errors", "skipped")
    rows = []
    for layer in layers:
        asked = layer["hits"] + layer["misses"]
        latency = layer["latency"] or {}
        rows.append(
            [
                layer["name"],
                as_count(layer["hits"]),
                as_count(layer["misses"]),
                as_share(layer["hits"] / asked if asked else None),
                as_bytes(layer["hit_bytes"]),
                as_seconds(latency.get("p50")),
                as_seconds(latency.get("p99")),
                as_count(layer["errors"]),
                as_count(layer["skipped"]),
            ]
        )
    return table(head, rows, right=frozenset(range(1, len(head))))


def use_table(title: str, uses: Sequence[Mapping[str, Any]]) -> str:
    """What the cache did for each of several routes, functions or namespaces."""
    head = (
        title,
        "hits",
        "misses",
        "hit rate",
        "stale",
        "waited",
        "fills",
        "sent",
        "time saved",
        "p50",
        "p99",
    )
    rows = []
    for use in uses:
        latency = use["latency"] or {}
        rows.append(
            [
                use["name"],
                as_count(use["hits"]),
                as_count(use["misses"]),
                as_share(use["hit_rate"]),
                as_count(use["stale"]),
                as_count(use["coalesced"]),
                as_count(use["fills"]),
                as_bytes(use["hit_bytes"]),
                as_seconds(use["seconds_saved"]),
                as_seconds(latency.get("p50")),
                as_seconds(latency.get("p99")),
            ]
        )
    return table(head, rows, right=frozenset(range(1, len(head))))


def entry(data: Mapping[str, Any]) -> str:
    """What ``GET api/v1/cache/entry`` told."""
    rows = [
        ("key", data["key"]),
        ("namespace", data.get("namespace") or ""),
        ("kind", data["kind"]),
        ("stored", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(data["stored_at"]))),
        ("leaves in", "never" if data["ttl"] is None else as_seconds(data["ttl"])),
        ("size", as_bytes(data["bytes"])),
        ("took", as_seconds(data["cost_seconds"]) if data["cost_seconds"] else ""),
        ("tags", ", ".join(data["tags"])),
        *_response_rows(data.get("response")),
        *(("variant", key) for key in data.get("variants", ())),
        ("value", data.get("value", "")),
    ]
    return "\n".join(f"{label:<10}  {value}" for label, value in rows if value)


def _response_rows(response: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if response is None:
        return []
    fresh = response["fresh_for"]
    return [
        ("status", str(response["status"])),
        ("fresh for", as_seconds(fresh) if fresh > 0 else f"no longer, since {as_seconds(-fresh)}"),
        ("age", as_seconds(response["age"])),
        ("route", response["route"]),
        ("rule", response["rule"]),
        ("vary", ", ".join(f"{name}: {value or '(absent)'}" for name, value in response["vary"].items())),
        *(("header", f"{name}: {value}") for name, value in response["headers"]),
        ("body", response.get("body") or as_bytes(response["body_bytes"])),
    ]


def warm_up(result: Mapping[str, Any]) -> str:
    """What a warm-up did."""
    rows = [
        ("stored", f"{result['stored']:,} ({as_bytes(result['bytes'])})"),
        ("fresh", f"{result['fresh']:,}"),
        *((label, _reasons(result[label])) for label in ("refused", "failed", "skipped")),
        ("stopped", result["stopped"]),
        ("took", f"{result['seconds']:.1f} s"),
    ]
    lines = [f"{label:<8}  {value}" for label, value in rows if value]
    lines += [f"  {one['url']}: {one['outcome']}, {one['reason']}" for one in result["examples"]]
    return "\n".join([*lines, *(f"  {problem}" for problem in result["problems"])])


def _reasons(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    told = ", ".join(f"{reason} {count:,}" for reason, count in counts.items())
    return f"{sum(counts.values()):,} ({told})"
