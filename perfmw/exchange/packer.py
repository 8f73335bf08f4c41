"""Compresses what is stored and uncompresses what is sent, where the settings or what is stored say so."""

from __future__ import annotations

import asyncio
import time

from perfmw.cache.codecs import ZstdCodec
from perfmw.http.messages import Headers, Request, StoredResponse
from perfmw.http.packed import Packed, packable, packed
from perfmw.settings import Settings, SettingsError

_IN_A_THREAD = 64 * 1024
"""Bytes from which on compressing, a millisecond or so, is not for the event loop."""

_codecs: list[ZstdCodec] = []


def unpack(frame: bytes, length: int) -> bytes:
    """The bytes of a zstd frame, ``length`` at most.

    :raises ValueError: damaged, longer, or there is no library for it.
    """
    if not _codecs:
        try:
            _codecs.append(ZstdCodec())
        except ModuleNotFoundError as error:
            raise ValueError(str(error)) from None
    return _codecs[0].decompress(frame, length)


def unpacked_for(stored: Packed, headers: Headers) -> StoredResponse | None:
    """What a plain GET with these fields gets of a fresh response; None when it is damaged."""
    coded = stored.for_fields(headers)
    if coded is not None:
        return coded
    try:
        return stored.whole(unpack)
    except ValueError:
        return None


class Packer:
    """Knows what to compress. Without settings nothing is, and what was compressed before still is read.

    :raises SettingsError: compression is wanted and no library for it is there.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.active = settings is not None and settings.compress_responses != "off"
        if settings is None or not self.active:
            return
        self._least = settings.compress_min_bytes
        self._personal = settings.compress_responses == "all"
        try:
            self._codec = ZstdCodec(threshold=self._least)
        except ModuleNotFoundError:
            raise SettingsError("compress_responses: needs the extra `compression`") from None

    def fits(self, head: StoredResponse) -> bool:
        """Whether a response with this head would be compressed, if that makes it smaller."""
        return self.active and packable(head, self._least, personal=self._personal)

    async def packed(self, stored: StoredResponse) -> StoredResponse:
        """The response as it is to be stored."""
        if not self.fits(stored):
            return stored
        if len(stored.body) >= _IN_A_THREAD:
            body = await asyncio.to_thread(self._codec.compress, stored.body)
        else:
            body = self._codec.compress(stored.body)
        return stored if body is None else packed(stored, body)

    def unpacked(self, stored: StoredResponse, request: Request | None) -> StoredResponse | None:
        """The response for ``request``, or without one as the origin sent it; None when it is damaged."""
        if type(stored) is not Packed:
            return stored
        try:
            return stored.whole(unpack) if request is None else stored.choose(request, time.time(), unpack)
        except ValueError:
            return None
