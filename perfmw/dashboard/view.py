"""What the pages, the API and the event stream show, computed from a snapshot. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from perfmw.contracts import (
    Measurement,
    PerformanceProfile,
    RuntimeSnapshot,
)
from perfmw.dashboard.host import LedgerLine, LedgerView
from perfmw.http.explain import meaning_of


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


ROWS: Final = 20
"""Lines of the table until all are asked for: what a window shows of it, and what each event carries."""


def route_table(snapshot: RuntimeSnapshot, limit: int | None = ROWS, offset: int = 0) -> RouteTable:
    routes = [p for p in snapshot.profiles if p.type == "component"]
    wanted = len(routes) if limit is None else min(len(routes), offset + limit)
    top = heapq.nlargest(wanted, routes, key=lambda p: p.metrics.latency.mean * p.metrics.latency.count)
    return RouteTable([route_row(profile) for profile in top[offset:]], len(routes))


# -- why requests were not served from cache ------------------------------------------------------------

SERVED = frozenset({"hit"})
REASONS: dict[str, tuple[str, str]] = {
    "uri-miss": (
        "Nothing was stored for this URL yet",
        "A first visit; the next one is answered from the cache. Warm what is asked for most.",
    ),
    "vary-miss": (
        "Stored, but for other request headers",
        "The response varies on a header with many values: vary on fewer headers, or normalise them.",
    ),
    "miss": ("Nothing suitable was stored", "The route's Cache-Status says what was missing."),
    "stale": (
        "The stored response had expired",
        "Raise its lifetime, or send stale-while-revalidate to refresh it in the background.",
    ),
    "request": (
        "The client asked for a fresh response",
        "It said no-cache, or a max-age that the stored response does not meet.",
    ),
    "bypass": (
        "The request stays away from the shared cache",
        "Credentials or a cookie came with it. If they change nothing, say shared=True in a CacheRule.",
    ),
    "too-large": ("The body is larger than is stored", "Raise max_body_bytes if it is worth the memory."),
    "trailers": ("The response has trailers, which are not stored", ""),
    "quota": (
        "The caller had used up a quota, so neither cache nor app was asked",
        "Resource Management tells who was refused; raise the limit if so many requests are welcome.",
    ),
    "overload": (
        "The app had more to do than it can, so the request was refused",
        "Cache what is asked for often, or run more workers: Resource Management tells what limits.",
    ),
}
"""The forwarding words of RFC 9211; ``http/explain.py`` knows what perfmw says in more detail."""


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
    meaning, fix = REASONS.get(word) or meaning_of(word)
    return Reason(word, n, share, meaning.rstrip("."), fix or "Nothing needs to change.")


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
    "waiting": "waits for approval",
    "rolled_back": "rolled back",
    "kept": "kept",
    "reapplied": "applied again",
    "measured": "measured",
}


def ledger_rows(ledger: LedgerView, limit: int | None = None, offset: int = 0) -> list[LedgerRow]:
    """The ledger's entries, the newest first."""
    entries = list(ledger.entries())[::-1]
    end = None if limit is None else offset + limit
    standing = {entry.id for entry in ledger.kept()}
    return [_ledger_row(entry, entry.id in standing) for entry in entries[offset:end]]


def outcomes(ledger: LedgerView, limit: int) -> list[LedgerRow]:
    """The newest entry of each try, the newest try first: what came of it, without the steps before."""
    standing = {entry.id for entry in ledger.kept()}
    newest: dict[tuple[str, str], LedgerLine] = {}
    for entry in reversed(ledger.entries()):
        newest.setdefault((entry.run, entry.opportunity.id), entry)
        if len(newest) == limit:
            break
    return [_ledger_row(entry, entry.id in standing) for entry in newest.values()]


def _ledger_row(entry: LedgerLine, standing: bool) -> LedgerRow:
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


def waiting(ledger: LedgerView) -> list[LedgerRow]:
    """What waits for somebody's approval, the oldest first."""
    asked = getattr(ledger, "waiting", None)
    return [_ledger_row(entry, standing=False) for entry in asked()] if asked is not None else []


# -- the run under way -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepView:
    """A step of a run that has its verdict; ``improvement`` 0.3 means 30% faster."""

    title: str
    verdict: str
    reason: str
    improvement: float | None


@dataclass(frozen=True, slots=True)
class TrialView:
    """A change on trial: ``done`` of ``total`` blocks are measured."""

    title: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class RunView:
    """An optimization run: what is on trial, nothing while it looks for something.

    ``verdicts`` are those of the run under way, else of the last one; ``finished``: there was a last one;
    ``worker``: the process that measures.
    """

    running: bool
    trials: list[TrialView]
    finished: bool
    verdicts: list[StepView]
    worker: int | None


def run_view(state: Mapping[str, Any], titles: Mapping[str, str] | None = None) -> RunView:
    """``titles`` gives opportunity id -> title, for the steps, which know only their id."""
    running = state.get("status") == "running"
    last = state.get("last") or {}
    steps = state.get("verdicts", ()) if running else last.get("steps", ())
    return RunView(
        running=running,
        trials=_trials(state) if running else [],
        finished=bool(last) and not running,
        verdicts=[_step_view(step, titles or {}) for step in steps],
        worker=state.get("worker"),
    )


def _trials(state: Mapping[str, Any]) -> list[TrialView]:
    step = state.get("step")
    alone = [{**step, **{name: state.get(name, 0) for name in ("blocks_done", "blocks")}}] if step else []
    return [
        TrialView(one["title"], one.get("blocks_done", 0), one.get("blocks", 0))
        for one in state.get("trying", alone)
    ]


def _step_view(step: Mapping[str, Any], titles: Mapping[str, str]) -> StepView:
    return StepView(
        title=titles.get(step["step_id"], step["step_id"]),
        verdict=step["verdict"].replace("_", " "),
        reason=step.get("error") or step.get("reason") or "",
        improvement=step.get("improvement"),
    )


def titles(ledger: LedgerView) -> dict[str, str]:
    return {entry.opportunity.id: entry.opportunity.title for entry in ledger.entries()}


@dataclass(frozen=True, slots=True)
class SlowRow:
    """A callback that held up the event loop of worker ``pid`` for ``seconds``; ``function`` was running."""

    pid: int
    at: float
    seconds: float
    function: str
    stack: tuple[str, ...]


# -- JSON ------------------------------------------------------------------------------------------------


def to_json(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=_fallback)


def _fallback(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) else str(value)
