"""Dry runs: how many entries an invalidation would concern. Every entry is looked at, none is touched."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfmw.cache.entries import Entry
from perfmw.cache.layers import FarLayer, is_own_key
from perfmw.cache.near import NearLayer

_BATCH = 256


@dataclass(frozen=True, slots=True)
class Meant:
    """What an invalidation names."""

    keys: frozenset[str]
    tags: frozenset[str]
    prefix: str | None

    def covers(self, key: str, tags: Iterable[str]) -> bool:
        if key in self.keys or (self.prefix is not None and key.startswith(self.prefix)):
            return True
        return not self.tags.isdisjoint(tags)

    @property
    def keys_alone(self) -> bool:
        return not self.tags and self.prefix is None

    @property
    def within(self) -> str:
        """A prefix that all of it has."""
        return self.prefix if self.prefix is not None and not self.tags and not self.keys else ""


def meant_by(keys: Iterable[str], tags: Iterable[str], prefix: str | None) -> Meant:
    return Meant(frozenset(keys), frozenset(tags), prefix)


def count_near(layer: NearLayer, meant: Meant, fresh: Callable[[Entry], bool]) -> int:
    if meant.keys_alone:
        found = [entry for key in meant.keys if (entry := layer.peek(key)) is not None]
        return sum(map(fresh, found))
    return sum(
        1 for key, entry in layer.entries(meant.within) if meant.covers(key, entry.tags) and fresh(entry)
    )


async def count_far(layer: FarLayer, meant: Meant, usable: Callable[[str, Entry], bool]) -> int | None:
    """None when the layer cannot list what it holds, or fails."""
    if meant.keys_alone:
        held = [(key, await layer.peek(key)) for key in meant.keys]
        return sum(1 for key, entry in held if entry is not None and usable(key, entry))
    entries = _scan(layer, meant.within)
    if entries is None:
        return None
    count = 0
    try:
        async for key, stored in entries:
            entry = None if is_own_key(key) else layer.decode(key, stored)
            count += entry is not None and meant.covers(key, entry.tags) and usable(key, entry)
    except Exception:  # whatever a backend raises; the count is not known then
        return None
    return count


def _scan(layer: FarLayer, prefix: str) -> AsyncIterator[tuple[str, Any]] | None:
    """Everything a layer holds under a prefix; None when there is no way to ask for it."""
    file = getattr(layer.cache, "file", None)
    if file is not None and isinstance(getattr(file, "path", None), Path):
        return _rows_of(file.path, prefix)
    scan = getattr(layer.cache, "scan", None)
    found: AsyncIterator[tuple[str, Any]] | None = None if scan is None else scan(prefix)
    return found


async def _rows_of(path: Path, prefix: str) -> AsyncIterator[tuple[str, Any]]:
    """The rows of a disk layer's file, read beside it, so that it takes none of them for used."""
    start = -(2**63)
    while rows := await asyncio.to_thread(lambda first: list(_rows(path, prefix, first)), start):
        for _, key, value in rows:
            yield key, value
        start = rows[-1][0] + 1
        if start >= 2**63:
            break


def _rows(path: Path, prefix: str, first: int) -> Iterator[tuple[int, str, Any]]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        yield from connection.execute(
            "SELECT id, key, value FROM entries WHERE id >= ? AND substr(key, 1, ?) = ? ORDER BY id LIMIT ?",
            (first, len(prefix), prefix, _BATCH),
        )
    finally:
        connection.close()
