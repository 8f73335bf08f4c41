"""What the pages, the API and the event stream show, computed from a snapshot. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from perfmw.contracts import Measurement, PerformanceProfile, RuntimeSnapshot


@dataclass(frozen=True, slots=True)
class RouteRow:
    """A line of the route table. Seconds, shares 0..1; ``total`` is the time all its requests took."""

    id: str
    name: str
    count: int
    rate: float
    p50: float
    p95: float
    hit_rate: float | None
    errors: int
    error_rate: float
    total: float
    score: float | None


def route_row(profile: PerformanceProfile) -> RouteRow:
    latency, throughput = profile.metrics.latency, profile.metrics.throughput
    return RouteRow(
        id=profile.id,
        name=profile.name,
        count=latency.count,
        rate=throughput.recent_per_second or throughput.per_second,
        p50=latency.p50,
        p95=latency.p95,
        hit_rate=throughput.hit_rate,
        errors=profile.metrics.error_rates.server_errors + profile.metrics.error_rates.exceptions,
        error_rate=profile.metrics.error_rates.rate,
        total=latency.mean * latency.count,
        score=profile.performance.current_score,
    )


@dataclass(frozen=True, slots=True)
class RouteTable:
    """The routes that took the most time, that one first, and how many there are."""

    items: list[RouteRow]
    total: int


def route_table(snapshot: RuntimeSnapshot, limit: int | None = 50, offset: int = 0) -> RouteTable:
    routes = [p for p in snapshot.profiles if p.type == "component"]
    wanted = len(routes) if limit is None else min(len(routes), offset + limit)
    top = heapq.nlargest(wanted, routes, key=lambda p: p.metrics.latency.mean * p.metrics.latency.count)
    return RouteTable([route_row(profile) for profile in top[offset:]], len(routes))


# -- why requests were not served from cache ------------------------------------------------------------

SERVED = frozenset({"hit"})
REASONS: dict[str, tuple[str, str]] = {
    "uri-miss": (
        "Nothing was stored for this URL",
        "A first visit. If it stays high, responses lack freshness: send Cache-Control, or add a CacheRule.",
    ),
    "vary-miss": (
        "Stored, but for other request headers",
        "The response varies on a header with many values. Vary on fewer headers, or normalise them.",
    ),
    "miss": ("Nothing suitable was stored", "See the route's Cache-Status for what was missing."),
    "stale": (
        "The stored response had expired",
        "Raise its lifetime, or send stale-while-revalidate to refresh it in the background.",
    ),
    "request": (
        "The client asked for a fresh response",
        "The request said no-cache or a max-age that the stored response does not meet.",
    ),
    "method": ("The method cannot be cached", "Only GET and HEAD are; other methods always reach the app."),
    "bypass": (
        "The request must not use the shared cache",
        "Credentials or a cookie came with it. If they change nothing in it, say shared=True in its rule.",
    ),
    "partial": ("Only a part was stored", "A range was asked for that the stored response does not cover."),
}
UNKNOWN_REASON = "perfmw gave this word in Cache-Status."


@dataclass(frozen=True, slots=True)
class Reason:
    """A word of Cache-Status (RFC 9211, 2.2), how often it was given and its share of all requests."""

    word: str
    count: int
    share: float
    meaning: str
    fix: str


def reasons(cache_status: Mapping[str, int]) -> list[Reason]:
    """Why requests were not answered from the cache, the most frequent first."""
    everything = sum(cache_status.values())
    words = [(n, word) for word, n in cache_status.items() if n > 0 and word not in SERVED]
    return [
        _reason(word, n, n / everything) for n, word in sorted(words, key=lambda pair: (-pair[0], pair[1]))
    ]


def _reason(word: str, n: int, share: float) -> Reason:
    meaning, fix = REASONS.get(word, (word.replace("-", " ").capitalize(), UNKNOWN_REASON))
    return Reason(word, n, share, meaning, fix)


# -- what was tried ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """An entry of the ledger as a line. ``standing``: the change is in force and can be rolled back."""

    id: str
    at: float
    kind: str
    word: str
    title: str
    target: str
    who: str
    why: str
    improvement: float | None
    interval: tuple[float, float] | None
    before: Measurement | None
    after: Measurement | None
    standing: bool


LEDGER_WORDS = {
    "rolled_back": "rolled back",
    "kept": "kept",
    "reapplied": "applied again",
    "measured": "measured",
}


def ledger_rows(ledger: Any, limit: int | None = None, offset: int = 0) -> list[LedgerRow]:
    """The ledger's entries, the newest first."""
    standing = {entry.id for entry in ledger.kept()}
    entries = list(ledger.entries())[::-1]
    end = None if limit is None else offset + limit
    return [_ledger_row(entry, entry.id in standing) for entry in entries[offset:end]]


def _ledger_row(entry: Any, standing: bool) -> LedgerRow:
    return LedgerRow(
        id=str(entry.id),
        at=entry.at,
        kind=entry.kind,
        word=LEDGER_WORDS.get(entry.kind, entry.kind.replace("_", " ")),
        title=entry.opportunity.title,
        target=entry.opportunity.target,
        who=entry.who,
        why=entry.why,
        improvement=entry.improvement,
        interval=entry.interval,
        before=entry.before,
        after=entry.after,
        standing=standing,
    )


# -- the run under way -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunView:
    """An optimization run for people. ``done`` and ``total`` count blocks; both 0 when unknown."""

    running: bool
    step: str
    done: int
    total: int
    verdicts: list[str]


def run_view(state: Mapping[str, Any]) -> RunView:
    facts = plain(state)
    step = facts.get("step") or ""
    return RunView(
        running=facts.get("state") == "running" or facts.get("running") is True,
        step=_words(step),
        done=int(facts.get("blocks_done") or 0),
        total=int(facts.get("blocks") or 0),
        verdicts=[_words(verdict) for verdict in facts.get("verdicts") or ()],
    )


def _words(fact: Any) -> str:
    """A step or verdict as a line: text stays; of a mapping, what says most."""
    if not isinstance(fact, Mapping):
        return str(fact)
    names = ("title", "target", "step_id", "verdict", "reason")
    return " · ".join(str(fact[name]).replace("_", " ") for name in names if fact.get(name))


# -- builtins --------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """JSON builtins of anything the runtime hands out; what JSON cannot say becomes text."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_fallback)


def to_json(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=_fallback)


def _fallback(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) else str(value)
