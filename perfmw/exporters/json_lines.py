"""Snapshots as JSON lines in a file: one line a snapshot, appended off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

import msgspec

from perfmw.contracts.snapshot import RuntimeSnapshot


def to_json(snapshot: RuntimeSnapshot) -> bytes:
    """The snapshot as one line of JSON without a newline; what is not known is ``null``."""
    values = {one.name: getattr(snapshot, one.name) for one in fields(snapshot)}
    values = {name: value for name, value in values.items() if not callable(value)}
    return msgspec.json.encode(values, enc_hook=_plain)


def _plain(value: object) -> object:
    """Collections that plugins may hand in and msgspec does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    return str(value)


class JsonExporter:
    """Appends every snapshot to ``path``, which is opened anew each time so that it may be rotated.

    A snapshot that comes while the last one is still being written is dropped and counted in ``dropped``:
    a slow disk must not pile up memory. ``export`` raises OSError if the file cannot be written.
    """

    name = "json"

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._writing = False
        self.dropped = 0

    async def export(self, snapshot: RuntimeSnapshot) -> None:
        if self._writing:
            self.dropped += 1
            return
        self._writing = True
        try:
            await asyncio.to_thread(self._append, to_json(snapshot) + b"\n")
        finally:
            self._writing = False

    def _append(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line)

    async def aclose(self) -> None:
        """Nothing is held open between two snapshots."""
