"""What keys have in common: the same words, with other numbers and identifiers between them."""

from __future__ import annotations

import re
from collections.abc import Hashable

_VARYING = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4,}){2,}|\d+")


def key_pattern(key: Hashable) -> str:
    """``key`` with its numbers and long identifiers replaced by ``*``; for what is no text, its type."""
    return _VARYING.sub("*", key) if isinstance(key, str) else type(key).__name__
