"""Cache entries, and the one form in which they leave the process.

The binary form is ``PMW1``, a CRC-32 of the rest, and a MessagePack array of the entry's fields; the value
inside is packed by ``perfmw.cache.packing``. Whatever is damaged, unknown or of another version decodes to
None, which is a miss. Nothing is ever unpickled.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Any

import msgspec

import perfmw.cache.isolation  # noqa: F401 - what functions keep is a kind of value too
from perfmw.cache.packing import pack, unpack

MAGIC = b"PMW1"
_HEAD = len(MAGIC) + 4


@dataclass(slots=True)
class Entry:
    """A cached value and what the cache must know about it.

    ``expires_at`` and ``stored_at`` are unix seconds (None: never expires); ``cost`` is how many seconds
    computing the value took; ``size`` its bytes, 0 when unknown; ``epoch`` when its fill began,
    ``checked`` the epoch at which its tags were last found valid and ``soft`` that of the last soft purge it
    went through, all as TagIndex counts. ``grace`` is how many seconds it may be served after a soft purge.
    """

    value: Any
    expires_at: float | None = None
    stored_at: float = 0.0
    tags: tuple[str, ...] = ()
    cost: float = 0.0
    size: int = 0
    epoch: int = 0
    checked: int = 0
    grace: float = 0.0
    soft: int = 0

    def remaining(self, now: float) -> float | None:
        """Seconds left at unix time ``now``; None when it never expires."""
        return None if self.expires_at is None else self.expires_at - now


class _Envelope(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    expires_at: float | None
    stored_at: float
    tags: tuple[str, ...]
    cost: float
    size: int
    epoch: int
    value: msgspec.Raw
    grace: float = 0.0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Envelope)


def encode_entry(entry: Entry) -> bytes:
    """The binary form. Raises TypeError when the value holds something that was not registered."""
    body = _encoder.encode(
        _Envelope(
            entry.expires_at,
            entry.stored_at,
            entry.tags,
            entry.cost,
            entry.size,
            entry.epoch,
            msgspec.Raw(pack(entry.value)),
            entry.grace,
        )
    )
    return MAGIC + zlib.crc32(body).to_bytes(4, "big") + body


def decode_entry(data: Any) -> Entry | None:
    """The entry, or None for anything that is not an undamaged entry of a known version and kind."""
    if not isinstance(data, (bytes, bytearray, memoryview)) or bytes(data[:4]) != MAGIC:
        return None
    body = bytes(data[_HEAD:])
    if zlib.crc32(body).to_bytes(4, "big") != bytes(data[4:_HEAD]):
        return None
    try:
        parts = _decoder.decode(body)
        value = unpack(parts.value)
    except Exception:  # a registered type may raise whatever it likes while it is rebuilt
        return None
    return Entry(
        value,
        parts.expires_at,
        parts.stored_at,
        parts.tags,
        parts.cost,
        parts.size,
        parts.epoch,
        grace=parts.grace,
    )


def to_text(data: bytes) -> str:
    """Bytes as ASCII, for layers whose serializer carries text only."""
    return base64.b64encode(data).decode("ascii")


def from_text(text: Any) -> bytes | None:
    """The bytes of ``to_text``, or None."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return None
