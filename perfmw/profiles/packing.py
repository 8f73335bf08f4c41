"""Readings as bytes: for closed slots, which are rarely read again, and for what workers tell each other.

A dictionary takes ten times the memory. The format is that of this release, for one host's own use.
"""

from __future__ import annotations

import msgspec

from perfmw.profiles.reading import Reading
from perfmw.profiles.sketch import LatencySketch, SketchState
from perfmw.profiles.traffic import Numbers, Traffic


class _State(msgspec.Struct, array_like=True):
    hits: SketchState | None
    origin: SketchState | None
    failed: SketchState | None
    statuses: dict[int, int]
    reasons: dict[str, int]
    exceptions: int
    traffic: Numbers | None = None


_decoder = msgspec.msgpack.Decoder(_State)


def pack(reading: Reading) -> bytes:
    """A reading as bytes; ``unpack`` gives an equal one."""
    sketches = (reading.hit_sketch, reading.origin_sketch, reading.failed_sketch)
    states = [None if sketch.untouched() else sketch.state() for sketch in sketches]
    traffic = reading.traffic.numbers() if reading.traffic else None
    return msgspec.msgpack.encode((*states, reading.statuses, reading.reasons, reading.exceptions, traffic))


def unpack(data: bytes) -> Reading:
    """The reading that ``pack`` was given.

    :raises ValueError: the bytes are damaged.
    """
    state = _decoder.decode(data)
    return Reading(
        _sketch(state.hits),
        _sketch(state.origin),
        _sketch(state.failed),
        state.statuses,
        state.reasons,
        state.exceptions,
        Traffic(*state.traffic) if state.traffic is not None else Traffic(),
    )


def _sketch(state: SketchState | None) -> LatencySketch:
    return LatencySketch() if state is None else LatencySketch.from_state(state)
