"""``perfmw simulate --learn``: what would have been learned from a recorded trace or access log."""

from __future__ import annotations

import csv
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfmw.cache.unpacking import open_unpacked
from perfmw.cli.output import Refusal

if TYPE_CHECKING:
    from perfmw.cache.simulation import Access
    from perfmw.cli.accesslog import LogEntry
    from perfmw.contracts import WorkloadEvent
    from perfmw.learning import Prices
    from perfmw.learning.cost import Curve

Found = dict[str, Any]
"""What was found, for JSON; ``words`` tells it to people."""

_ENTRIES, _TTL = 100, 300.0
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def curve(events: Sequence[WorkloadEvent], sizes: Sequence[int], *, sized: bool, prices: Prices) -> Found:
    """Hit ratios of LRU by size, the knee, and what twice each size would give.

    In money and time an hour, where the trace tells when reads were and what values take to make.
    """
    from perfmw.learning import MissRatioCurve, waste_of

    learned = MissRatioCurve()
    for event in events:
        learned.access(event.key, event.size if sized else None)
    by = learned.by_bytes.curve if learned.by_bytes is not None else learned.curve
    unit = "bytes" if learned.by_bytes is not None else "entries"
    rows = [{"size": size, "hit_ratio": ratio} for size, ratio in zip(sizes, by(sizes), strict=True)]
    words = [f"{row['size']:,} {unit}: {row['hit_ratio']:.2%} hits" for row in rows]
    words.append(
        f"the knee is at {learned.knee():,} entries; no more than {learned.footprint():,} are of use"
    )
    if learned.by_bytes is not None:
        accesses = [(event.key, event.size) for event in events]
        words += [f"{size:,} bytes: {waste_of(accesses, size).in_words()}" for size in sizes]
    doubled = [_doubled(events, by, size, unit, prices) for size in sizes]
    words += [one.pop("words") for one in doubled]
    return {
        "unit": unit,
        "curve": rows,
        "knee": learned.knee(),
        "footprint": learned.footprint(),
        "doubled": doubled,
        "words": words,
    }


def _doubled(events: Sequence[WorkloadEvent], by: Curve, size: int, unit: str, prices: Prices) -> Found:
    """What twice ``size`` would give: in all, and for an hour where there are times and costs."""
    from perfmw.learning import what_if

    times = [event.time for event in events if event.time is not None]
    costs = [event.seconds for event in events if event.seconds is not None]
    span = (max(times) - min(times)) / 3_600 if times else 0.0
    one = what_if(
        by,
        size,
        reads_an_hour=len(events) / (span or 1.0),
        miss_seconds=statistics.mean(costs) if costs else 0.0,
        entry_bytes=1.0 if unit == "bytes" else statistics.mean(event.size for event in events),
        prices=prices,
    )
    hits = one.hits * (span or 1.0)
    found = {"size": size, "more_hits": hits}
    if not span or not costs:
        return found | {"words": f"of {len(events):,} reads, {hits:+,.0f} hits with {one.new_size:,}"}
    return found | {"an_hour": asdict(one) | {"worth": one.worth}, "words": one.in_words(unit)}


def partition(accesses: Sequence[Access], sizes: Sequence[int]) -> Found:
    """Whether namespaces should have parts of the memory; one is the first word of a key, or of its path."""
    from perfmw.learning import Partitioner

    learned = Partitioner()
    for key, _ in accesses:
        learned.access(_namespace(key), key)
    plans = [learned.plan(size) for size in sizes]
    rows = [
        {"size": size, "parts": plan.parts, "shared": plan.shared, "split": plan.split}
        for size, plan in zip(sizes, plans, strict=True)
    ]
    words = [f"{size:,} entries. {plan.in_words()}" for size, plan in zip(sizes, plans, strict=True)]
    return {"namespaces": sorted(learned.curves), "plans": rows, "words": words}


def _namespace(key: str) -> str:
    path = key.split("://", 1)[-1].partition("/")[2] if "://" in key else key.lstrip("/")
    return re.split("[/:?]", path, maxsplit=1)[0]


def strategy(events: Sequence[WorkloadEvent], max_bytes: int | None, max_stale: float) -> Found:
    """The strategy that ``IntelligentCacheManager`` makes of a trace or log, and why.

    :param max_bytes: the memory there is; None takes what the trace can use.
    """
    from perfmw.cache import IntelligentCacheManager
    from perfmw.contracts import CacheConstraints, CacheStrategyConfig
    from perfmw.learning import patterns_of

    config = CacheStrategyConfig(events, constraints=CacheConstraints(max_bytes, max_stale))
    made = IntelligentCacheManager(learn=patterns_of).create_cache_strategy("from a trace", config)
    chosen = made.configuration
    words = [
        f"memory_max_bytes = {chosen.max_size}",
        f'eviction_policy = "{chosen.eviction_policy}"',
        f"ttl = {chosen.ttl:g}",
        f"expected hit rate {made.performance.hit_rate:.2%}",
        *(f"{name}: {why}" for name, why in made.evidence.items()),
    ]
    return {
        "memory_max_bytes": chosen.max_size,
        "eviction_policy": chosen.eviction_policy,
        "ttl": chosen.ttl,
        "compression_enabled": chosen.compression_enabled,
        "hit_ratio": made.performance.hit_rate,
        "patterns": asdict(made.patterns),
        "evidence": dict(made.evidence),
        "words": words,
    }


def events_of(path: Path) -> list[WorkloadEvent]:
    """Reads and writes of an access log; a value is taken to be the same while its size is."""
    from perfmw.contracts import WorkloadEvent

    entries, events = _entries(path, _is_work), []
    sizes = _sizes(entries)
    for entry in entries:
        version = str(entry.size) if entry.method == "GET" and entry.status == 200 and entry.size else None
        events.append(WorkloadEvent(entry.target, sizes[entry.target], entry.time, entry.method, version))
    return events


def _sizes(entries: Sequence[LogEntry]) -> dict[str, int]:
    """The largest body of each target, in bytes; a 304 has none."""
    sizes: dict[str, int] = {}
    for entry in entries:
        sizes[entry.target] = max(sizes.get(entry.target, 1), entry.size or 0)
    return sizes


def _is_read(entry: LogEntry) -> bool:
    return entry.method == "GET" and entry.status in (200, 304)


def _is_work(entry: LogEntry) -> bool:
    return _is_read(entry) or (entry.method in _WRITES and entry.status < 400)


def requests_of(path: Path) -> list[LogEntry]:
    """The successful GETs of an access log, in order of time.

    :raises Refusal: there are none, or it cannot be read.
    """
    return _entries(path, _is_read)


def _entries(path: Path, wanted: Callable[[LogEntry], bool]) -> list[LogEntry]:
    from perfmw.cli.accesslog import LogStats, read_log

    stats = LogStats()
    try:
        entries = [entry for entry in read_log(path, stats) if wanted(entry)]
    except OSError as error:
        raise Refusal(f"{path}: cannot be read: {error}") from None
    if not any(map(_is_read, entries)):
        raise Refusal(f"{path}: no access log, or none with successful GETs")
    return sorted(entries, key=lambda entry: entry.time)


def prefetch(path: Path) -> Found:
    """Prefetching on an access log, against the same cache without: LRU of 100 entries, TTL 300 s."""
    from perfmw.learning import Prefetcher, rehearse_prefetch

    entries = requests_of(path)
    sizes = _sizes(entries)
    requests = [(one.client, one.target, one.time, sizes[one.target]) for one in entries]
    without = rehearse_prefetch(requests, None, entries=_ENTRIES, ttl=_TTL)
    learned = rehearse_prefetch(requests, Prefetcher(entries=_ENTRIES, ttl=_TTL), entries=_ENTRIES, ttl=_TTL)
    more = learned.origin_bytes / without.origin_bytes - 1 if without.origin_bytes else 0.0
    return {
        "requests": learned.requests,
        "hit_ratio": without.hit_ratio,
        "hit_ratio_prefetching": learned.hit_ratio,
        "prefetches": learned.prefetches,
        "used": learned.precision,
        "more_bytes": more,
        "words": [
            f"hits: {without.hit_ratio:.2%} without, {learned.hit_ratio:.2%} with prefetching",
            f"{learned.prefetches:,} prefetches, {learned.precision:.0%} of them used",
            f"{more:+.1%} bytes asked of the origin",
        ],
    }


def _timed(events: Sequence[WorkloadEvent]) -> list[tuple[float, str]]:
    """When what was read.

    :raises Refusal: that is not told.
    """
    reads = [(one.time, one.key) for one in events if one.time is not None and one.method not in _WRITES]
    if not reads:
        raise Refusal("the trace does not tell when reads were; `perfmw record` and access logs do")
    return reads


def patterns(events: Sequence[WorkloadEvent]) -> Found:
    """How what a trace or log tells of was used, in words."""
    from perfmw.learning import UsagePatterns

    learned = UsagePatterns()
    for now, key in _timed(events):
        learned.read(key, now)
    summary = learned.summary()
    words = summary.in_words()
    return {"reads": summary.reads, "keys": summary.keys, "told": words, "words": words}


def ttl(events: Sequence[WorkloadEvent], changes: Path | None, max_stale: float) -> Found:
    """The learned TTL on a trace or log, against the fixed one that is stale as often."""
    from perfmw.learning import AdaptiveTTL, fixed_miss_ratio, rehearse_ttl

    if changes is None:
        raise Refusal("--learn ttl needs --changes: a CSV of keys and the unix seconds of their changes")
    known = _changes(changes)
    reads = sorted(_timed(events))
    if not _change_anything(known, reads):
        raise Refusal(f"{changes}: it has no change of what was read, between the first read and the last")
    outcome = rehearse_ttl(reads, known, AdaptiveTTL(max_stale))
    fixed = fixed_miss_ratio(reads, known, outcome.stale_share)
    return {
        "reads": outcome.reads,
        "miss_ratio": outcome.miss_ratio,
        "stale_share": outcome.stale_share,
        "fixed_miss_ratio": fixed,
        "words": [
            f"{outcome.miss_ratio:.2%} misses and {outcome.stale_share:.2%} stale reads with learned TTLs",
            f"{fixed:.2%} misses with the fixed TTL that is stale as often",
        ],
    }


def _change_anything(known: Mapping[str, Sequence[float]], reads: Sequence[tuple[float, str]]) -> bool:
    """Whether any of the changes is told by any of the ``reads``, which are in order."""
    first, last = reads[0][0], reads[-1][0]
    keys = {key for _, key in reads}
    return any(first <= time <= last for key in keys & known.keys() for time in known[key])


def _changes(path: Path) -> dict[str, list[float]]:
    known: dict[str, list[float]] = {}
    try:
        with TextIOWrapper(open_unpacked(path), "utf-8-sig", newline="") as lines:
            for number, row in enumerate(csv.reader(lines), start=1):
                if len(row) != 2:
                    raise Refusal(f"{path}, line {number}: not a key and a time")
                try:
                    time = float(row[1])
                except ValueError:
                    if number > 1:  # the first line may be a heading
                        raise Refusal(f"{path}, line {number}: {row[1]!r} is no time") from None
                    continue
                if not math.isfinite(time):
                    raise Refusal(f"{path}, line {number}: {row[1]!r} is no time")
                known.setdefault(row[0], []).append(time)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise Refusal(f"{path}: cannot be read: {error}") from None
    return {key: sorted(times) for key, times in known.items()}
