"""Recorded files as they are found: compressed or not, told by their first bytes and not by their names."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path
from typing import BinaryIO, Final, cast

_UNREADABLE: Final = {b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "xz", b"PK\x03\x04": "zip"}


def open_unpacked(path: Path) -> BinaryIO:
    """A file for reading, unpacked from gzip or bzip2. Reading a damaged one raises OSError or EOFError.

    :raises OSError: it cannot be read, or is compressed otherwise.
    """
    with path.open("rb") as file:
        first = file.read(6)
    for magic, name in _UNREADABLE.items():
        if first.startswith(magic):
            raise OSError(f"it is compressed by {name}: unpack it first, or compress it by gzip")
    if first.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.open(path, "rb"))
    return cast(BinaryIO, bz2.open(path, "rb")) if first.startswith(b"BZh") else path.open("rb")
