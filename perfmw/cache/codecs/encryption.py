"""Authenticated encryption of entries: AES-256-GCM or ChaCha20-Poly1305 (RFC 5116, RFC 8439).

The envelope: ``PMA1``, the algorithm, the key id and its length, the expiry in the clear, a nonce of 96
random bits, the encrypted text with its tag. All before the nonce is authenticated, and with it the cache
key and the layer: a text moved to another key or layer, or given another expiry, does not decrypt.
"""

from __future__ import annotations

import base64
import binascii
import os
import struct
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

_MAGIC = b"PMA1"
_NONCE = 12
_KEY_BYTES = 32
_NUMBERS = {"aes-256-gcm": 1, "chacha20-poly1305": 2}
_CLASSES = {1: "AESGCM", 2: "ChaCha20Poly1305"}


class AEADCodec:
    """Encrypts with the first key, decrypts with any of them: to rotate keys, put the new one in front.

    One key should encrypt no more than some 2**32 entries, for nonces are random.

    :param keys: id -> 32 secret bytes, the one to encrypt with first.
    :param algorithm: ``aes-256-gcm`` or ``chacha20-poly1305``.
    :raises ValueError: for an unknown algorithm, no key, or a key of another length.
    :raises ModuleNotFoundError: without the extra ``encryption``.
    """

    def __init__(self, keys: Mapping[str, bytes], algorithm: str = "aes-256-gcm") -> None:
        if algorithm not in _NUMBERS:
            raise ValueError(f"algorithm: {algorithm!r} is not one of {', '.join(_NUMBERS)}")
        if not keys:
            raise ValueError("keys: at least one is needed")
        for name, key in keys.items():
            if len(key) != _KEY_BYTES or not 0 < len(name.encode()) < 256:
                raise ValueError(f"key {name!r}: a key has an id and {_KEY_BYTES} bytes")
        self.name = algorithm
        self._number = _NUMBERS[algorithm]
        self._first = next(iter(keys))
        aead: Any = import_module("cryptography.hazmat.primitives.ciphers.aead")
        self._damage: Any = import_module("cryptography.exceptions").InvalidTag
        self._ciphers = {
            (number, name.encode()): getattr(aead, cls)(key)
            for number, cls in _CLASSES.items()
            for name, key in keys.items()
        }

    def encode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        name = self._first.encode()
        expires = context.get("expires_at")
        head = _MAGIC + bytes([self._number, len(name)]) + name + struct.pack(">d", expires or 0.0)
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self._number, name].encrypt(nonce, data, _bound(head, context))
        return head + nonce + bytes(sealed)

    def decode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        """Raises ValueError for a damaged text, an unknown key, or another cache key, layer or expiry."""
        if data[:4] != _MAGIC or len(data) < 6:
            raise ValueError("not written by the encryption codec")
        number, length = data[4], data[5]
        name, body = data[6 : 6 + length], 6 + length + 8
        cipher = self._ciphers.get((number, name))
        if cipher is None:
            raise ValueError(f"encrypted with an unknown key or algorithm: {name!r}")
        try:
            nonce, sealed = data[body : body + _NONCE], data[body + _NONCE :]
            return bytes(cipher.decrypt(nonce, sealed, _bound(data[:body], context)))
        except (self._damage, ValueError):
            raise ValueError("damaged, or encrypted for another key or layer") from None


def _bound(head: bytes, context: Mapping[str, Any]) -> bytes:
    """What is authenticated beside the text; lengths in front, so that no two contexts run together."""
    parts = (
        str(context.get("layer", "")).encode(),
        str(context.get("key", "")).encode("utf-8", "surrogatepass"),
    )
    return head + b"".join(struct.pack(">I", len(part)) + part for part in parts)


def read_keys(words: Sequence[str]) -> dict[str, bytes]:
    """Keys of ``id:base64`` words, in their order. Raises ValueError that shows no secret."""
    keys = {}
    for number, word in enumerate(words, start=1):
        name, _, text = word.partition(":")
        try:
            key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not name or len(key) != _KEY_BYTES:
            raise ValueError(f"key {number} is not an id, a colon and {_KEY_BYTES} bytes as base64")
        keys[name] = key
    return keys
