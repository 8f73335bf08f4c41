"""Readings as bytes: a closed slot is rarely read again, and a dictionary takes ten times the memory."""

from __future__ import annotations

import msgspec

from perfmw.profiles.reading import Reading
from perfmw.profiles.sketch import LatencySketch, SketchState

_State = tuple[SketchState, SketchState, SketchState, dict[int, int], dict[str, int], int]
_decoder = msgspec.msgpack.Decoder(_State)


def pack(reading: Reading) -> bytes:
    """A reading for this process's own memory; ``unpack`` gives an equal one."""
    sketches = (reading.hit_sketch, reading.origin_sketch, reading.failed_sketch)
    states = tuple(sketch.state() for sketch in sketches)
    return msgspec.msgpack.encode((*states, reading.statuses, reading.reasons, reading.exceptions))


def unpack(data: bytes) -> Reading:
    """The reading that ``pack`` was given."""
    hits, origin, failed, statuses, reasons, exceptions = _decoder.decode(data)
    return Reading(
        LatencySketch.from_state(hits),
        LatencySketch.from_state(origin),
        LatencySketch.from_state(failed),
        statuses,
        reasons,
        exceptions,
    )
