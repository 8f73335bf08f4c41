"""A flame graph's data: which functions took the time of requests, and by whom they were called."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace


@dataclass(slots=True)
class Flame:
    """A function with the seconds spent in it and in what it called."""

    name: str
    value: float
    children: list[Flame] = field(default_factory=list)
    requests: int = 0
    """Of the root: how many were watched."""
    peak_bytes: int | None = None
    """Of the root: the most memory that one of them had allocated at once, where that was asked for."""


def merged(flames: Iterable[Flame]) -> Flame:
    """One graph of several of a route, which stay as they are; there has to be one."""
    first, *more = (deepcopy(one) for one in flames)
    for one in more:
        first.value += one.value
        first.requests += one.requests
        first.children += one.children
        if one.peak_bytes is not None:
            first.peak_bytes = max(one.peak_bytes, first.peak_bytes or 0)
    first.children = joined(first.children)
    return first


def thinned(flame: Flame, least: float | None = None) -> Flame:
    """A graph without what is too short to be seen: less than ``least`` seconds, else a thousandth of all."""
    least = flame.value / 1000.0 if least is None else least
    children = [thinned(child, least) for child in flame.children if child.value >= least]
    return replace(flame, children=children)


def joined(flames: Iterable[Flame]) -> list[Flame]:
    """One box for each name, with the boxes below likewise, the longest first; changes those that stay."""
    found: dict[str, Flame] = {}
    for one in flames:
        known = found.setdefault(one.name, one)
        if known is not one:
            known.value += one.value
            known.children = joined([*known.children, *one.children])
    return sorted(found.values(), key=lambda one: -one.value)
