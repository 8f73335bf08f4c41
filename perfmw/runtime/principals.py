"""Who asks, without keeping any secret."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from perfmw.asgi.types import Scope


def principal_of(scope: Scope, headers: Sequence[bytes]) -> str:
    """A digest of the first of the fields that is there, else of the address.

    :param headers: names in lower case, such as ``authorization``.
    """
    fields = dict(scope["headers"])
    for name in headers:
        if value := fields.get(name):
            return digest_of(name, value)
    client = scope.get("client")
    return digest_of(b"", str(client[0] if client else "").encode())


def digest_of(name: bytes, value: bytes) -> str:
    """What a principal is counted under. ``name``: of the field, in lower case; empty for an address."""
    return blake2b(name + b"\0" + value, digest_size=12).hexdigest()
