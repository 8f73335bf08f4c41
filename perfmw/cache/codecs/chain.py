"""Several codecs as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perfmw.contracts import Codec


class Chain:
    """Encodes with each codec in turn, and decodes in the opposite order. So compression comes first."""

    def __init__(self, codecs: Sequence[Codec]) -> None:
        self._codecs = tuple(codecs)
        self.name = "+".join(codec.name for codec in codecs) or "none"

    def encode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        for codec in self._codecs:
            data = codec.encode(data, context)
        return data

    def decode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        for codec in reversed(self._codecs):
            data = codec.decode(data, context)
        return data
