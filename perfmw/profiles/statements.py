"""Database statements without their values, so that one query is one profile."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 200
_MAX_READ: Final = 4096
_MAX_KNOWN: Final = 2048

_COMMENT: Final = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_LITERAL: Final = re.compile(
    r"""
      (?<![\w"`])[eEbBxXnN]?'(?:[^'\\]|''|\\.)*'  # strings, '' and \' inside them
    | \$(\w*)\$.*?\$\1\$                     # PostgreSQL dollar quotes
    | %\(\w+\)s | %s                         # placeholders of the DB-API …
    | (?<![:\w]):\w+ | \$\d+ | \?\d* | (?<![\w@])@\w+
    | (?<![\w$."`])[-+]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+)(?![\w"`])
    """,
    re.VERBOSE | re.DOTALL,
)
_LIST: Final = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_ROWS: Final = re.compile(r"\(\?\)(?:\s*,\s*\(\?\))+")
_SPACE: Final = re.compile(r"\s+")

_known: dict[str, str] = {}


def normalise_statement(text: str) -> str:
    """``SELECT * FROM t WHERE a = 'x' AND b IN (1, 2)`` -> ``SELECT * FROM t WHERE a = ? AND b IN (?)``.

    Comments go, white space is folded, and the result has at most 200 characters.
    """
    try:
        return _known[text]
    except KeyError:
        pass
    plain = _SPACE.sub(" ", _LITERAL.sub("?", _COMMENT.sub(" ", text[:_MAX_READ]))).strip()
    plain = _ROWS.sub("(?)", _LIST.sub("(?)", plain))
    if len(plain) > LONGEST:
        plain = plain[: LONGEST - 1] + "…"
    if len(text) <= _MAX_READ:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[text] = plain
    return plain
