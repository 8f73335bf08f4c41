"""What the workers of a host tell each other beside the profiles: their cache layers and their health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from perfmw.cache.functions.callspec import FunctionInfo
from perfmw.contracts import CacheLayerInfo, PoolSample, ProcessHealth
from perfmw.profiles.sketch import SketchState

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime

_COUNTED = (
    *("hits", "misses", "evictions", "errors", "fills", "hit_bytes"),
    *("expirations", "invalidations", "replacements", "refusals", "skipped"),
)
_HELD = ("entries", "bytes", "max_entries", "max_bytes")
_OF_THE_HOST: Final = frozenset({"cpu", "memory", "storage", "network"})
"""Pools that are the host's: each worker reads the same."""
_HEAVIEST: Final = 10


class CachesSaid(msgspec.Struct):
    """``reads``: the sketch of each layer's reads, as its state; waiting callers; cached functions."""

    reads: dict[str, SketchState]
    functions: list[FunctionInfo]
    coalesced: int
    timeouts: int


class Answer(msgspec.Struct):
    """What a long question of a page came to, as JSON, at unix time ``at``."""

    at: float
    data: msgspec.Raw


class Brief(msgspec.Struct):
    """The part of ``Said`` that each round reads: decoding passes over the rest. ``words``: see ``Words``."""

    pools: list[PoolSample] = []
    words: dict[str, msgspec.Raw] = {}


class Said(msgspec.Struct, kw_only=True):
    """What a worker says of itself."""

    pools: list[PoolSample] = []
    words: dict[str, Any] = {}
    layers: list[CacheLayerInfo]
    process: ProcessHealth
    caches: CachesSaid | None = None
    limits: dict[str, Any] = {}
    answers: dict[str, Answer] = {}


_T = TypeVar("_T", Brief, Said)


def said_by(runtime: Runtime) -> bytes:
    """What a worker tells the others of its host beside the profiles."""
    caching, rounds = runtime.caching, runtime.rounds
    said = Said(
        layers=caching.infos(),
        process=rounds.process(),
        caches=caching.said(),
        pools=list(rounds.pools),
        limits=limited(runtime),
        answers=rounds.answers,
        words=runtime.words.said(),
    )
    return msgspec.json.encode(said)


def limited(runtime: Runtime) -> dict[str, Any]:
    """What one worker limits and refused; empty where nothing is limited."""
    return runtime.limits.state() if runtime.limits is not None else {}


def heard(peers: Iterable[bytes]) -> list[Said]:
    """What the other workers of the host say of themselves."""
    return _decoded(peers, Said)


def briefly_heard(runtime: Runtime) -> list[Brief]:
    """What each round reads of that."""
    return _decoded(runtime.sharing.peers.values(), Brief) if runtime.sharing is not None else []


def _decoded(peers: Iterable[bytes], kind: type[_T]) -> list[_T]:
    """What is not understood, such as that of another release, is left out."""
    found = []
    for said in peers:
        try:
            found.append(msgspec.json.decode(said, type=kind))
        except msgspec.DecodeError:
            continue
    return found


def merged_layers(own: Sequence[CacheLayerInfo], others: Iterable[Said]) -> list[CacheLayerInfo]:
    """The layers of this worker with the counts of all; what a memory layer holds is added up as well."""
    merged = {layer.name: replace(layer) for layer in own}
    for said in others:
        for layer in said.layers:
            if layer.name in merged:
                add_counts(merged[layer.name], layer, contents=layer.kind == "memory")
    return list(merged.values())


def add_counts(total: CacheLayerInfo, layer: CacheLayerInfo, *, contents: bool) -> None:
    """Count what ``layer`` did as well; what it holds too where the two hold things apart."""
    for name in (*_COUNTED, *_HELD) if contents else _COUNTED:
        one, other = getattr(total, name), getattr(layer, name)
        setattr(total, name, None if one is None or other is None else one + other)


def merged_pools(own: Sequence[PoolSample], others: Iterable[Sequence[PoolSample]]) -> list[PoolSample]:
    """The pools of all workers: the host's once, those that each worker has of its own added up.

    Waiting times and saturation are the worst worker's.
    """
    merged = {pool.name: pool for pool in own}
    for pools in others:
        for pool in pools:
            known = merged.get(pool.name)
            if known is None:
                merged[pool.name] = pool
            elif pool.name not in _OF_THE_HOST:
                merged[pool.name] = _both(known, pool)
    return list(merged.values())


def _both(one: PoolSample, other: PoolSample) -> PoolSample:
    used, capacity = one.used + other.used, _sum(one.capacity, other.capacity)
    share = _worst(one.utilization, other.utilization)
    return replace(
        one,
        used=used,
        capacity=capacity,
        utilization=min(1.0, used / capacity) if capacity and share is not None else share,
        saturation=_worst(one.saturation, other.saturation),
        wait_seconds=_worst(one.wait_seconds, other.wait_seconds),
        waiting=_sum(one.waiting, other.waiting),
        errors=_sum(one.errors, other.errors),
    )


def _sum(one: Any, other: Any) -> Any:
    return None if one is None or other is None else one + other


def _worst(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


def merged_limits(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all workers limit and refused, in the form of one; what each may let in is added up.

    The principals that a quota counts now are those of the worker with the most: many are the same.
    """
    limited = [one for one in told if one]
    if not limited:
        return {}
    groups: dict[str, dict[str, Any]] = {}
    quotas: dict[str, dict[str, Any]] = {}
    for one in limited:
        for row in one.get("groups", ()):
            _add_row(
                groups, row["group"], row, ("limit", "most", "in_flight", "waiting"), ("admitted", "refused")
            )
        for row in one.get("quotas", ()):
            _add_quota(quotas, row)
    return {**limited[0], "groups": list(groups.values()), "quotas": list(quotas.values())}


def _add_row(
    rows: dict[str, dict[str, Any]],
    key: str,
    row: Mapping[str, Any],
    sums: Sequence[str],
    tables: Sequence[str],
) -> dict[str, Any]:
    known = rows.get(key)
    if known is None:
        rows[key] = known = dict(row)
        return known
    for name in known.keys() & set(sums):
        known[name] = _sum(known[name], row.get(name))
    for name in tables:
        known[name] = dict(Counter(known[name]) + Counter(row[name]))
    return known


def _add_quota(rows: dict[str, dict[str, Any]], row: Mapping[str, Any]) -> None:
    before = rows.get(row["quota"])
    heaviest = Counter({one["key"]: one["refused"] for one in row["heaviest"]})
    if before is not None:
        heaviest.update({one["key"]: one["refused"] for one in before["heaviest"]})
        most = max(before["keys"], row["keys"])
    else:
        most = row["keys"]
    known = _add_row(rows, row["quota"], row, ("allowed", "refused"), ("refused_by_priority",))
    known["keys"] = most
    known["heaviest"] = [{"key": key, "refused": n} for key, n in heaviest.most_common(_HEAVIEST)]
