"""Zstandard compression (RFC 8878) of what is large enough and gets smaller, decompression within a bound."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

_RAW, _ZSTD = b"\x00", b"\x01"
DEFAULT_MAX_BYTES = 64 * 1024 * 1024


class _Engine(NamedTuple):
    """A library's two functions: ``decompress`` takes the bound, and raises ValueError beyond it."""

    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes, int], bytes]


def zstd_available() -> bool:
    """Whether a library for it is there: the standard one of Python 3.14, or the extra ``compression``."""
    return any(find_spec(name) is not None for name in ("compression", "zstandard"))


class ZstdCodec:
    """Compresses what has ``threshold`` bytes or more, where that saves a tenth; else stores it as it is.

    :param level: of compression; 3 is zstd's own default.
    :param max_bytes: the largest text that is decompressed: a larger one is refused before it takes memory.
    :raises ModuleNotFoundError: when no library for it is installed.
    """

    name = "zstd"

    def __init__(self, *, threshold: int = 512, level: int = 3, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._threshold = threshold
        self._level = level
        self._max_bytes = max_bytes
        self._local = threading.local()
        self._engine()

    def compress(self, data: bytes) -> bytes | None:
        """A zstd frame of ``data``; None where that is not worth it."""
        if len(data) < self._threshold:
            return None
        smaller = self._engine().compress(data)
        return smaller if len(smaller) * 10 <= len(data) * 9 else None

    def decompress(self, frame: bytes, bound: int) -> bytes:
        """What ``compress`` was given. Raises ValueError for a damaged or too large a frame."""
        return self._engine().decompress(frame, bound)

    def encode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        smaller = self.compress(data)
        return _RAW + data if smaller is None else _ZSTD + smaller

    def decode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        """Raises ValueError for damaged or too large a text."""
        mark, body = data[:1], data[1:]
        if mark == _RAW:
            return body
        if mark != _ZSTD:
            raise ValueError("not written by the zstd codec")
        return self._engine().decompress(body, self._max_bytes)

    def _engine(self) -> _Engine:
        """Compressors are not for several threads at once, so each thread has its own."""
        engine: _Engine | None = getattr(self._local, "engine", None)
        if engine is None:
            make = _standard if find_spec("compression") is not None else _zstandard
            engine = self._local.engine = make(self._level)
        return engine


def _zstandard(level: int) -> _Engine:
    zstandard: Any = import_module("zstandard")
    compress = zstandard.ZstdCompressor(level=level, write_checksum=True).compress
    decompressor = zstandard.ZstdDecompressor()

    def decompress(data: bytes, bound: int) -> bytes:
        try:
            size = zstandard.frame_content_size(data)
            if not 0 <= size <= bound:
                raise ValueError(f"a text of {size} bytes is not decompressed; the bound is {bound}")
            return bytes(decompressor.decompress(data, max_output_size=bound))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None

    return _Engine(compress, decompress)


def _standard(level: int) -> _Engine:
    zstd: Any = import_module("compression.zstd")
    options = {zstd.CompressionParameter.compression_level: level, zstd.CompressionParameter.checksum_flag: 1}

    def compress(data: bytes) -> bytes:
        return bytes(zstd.compress(data, options=options))

    def decompress(data: bytes, bound: int) -> bytes:
        try:
            decompressor = zstd.ZstdDecompressor()
            text = decompressor.decompress(data, max_length=bound)
        except zstd.ZstdError as error:
            raise ValueError(str(error)) from None
        if not decompressor.eof:
            raise ValueError(f"cut short, or larger than the bound of {bound} bytes")
        return bytes(text)

    return _Engine(compress, decompress)
