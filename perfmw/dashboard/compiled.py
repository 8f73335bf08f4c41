"""Compiled templates, kept where Python keeps compiled modules, and by its rules.

To compile the templates of a page takes longer than to serve it. What ``__pycache__`` holds is as trustworthy
as the modules in it: who may write there may change those as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import re
import sys
import threading
import weakref
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any, Final

from jinja2 import BytecodeCache, Environment, Template
from jinja2.bccache import Bucket, bc_magic

from perfmw import __version__

_NEEDS: Final = re.compile(r'\{%-?\s*(?:extends|include|import|from)\s+"([^"]+)"')
_MISSES: Final = (OSError, EOFError, ValueError, TypeError, NotImplementedError)


class Kept(BytecodeCache):
    """Reads and writes ``__pycache__`` beside the templates; a miss where that cannot be."""

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        return filename or ""

    def load_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(*_MISSES):
            kept, stamp = _place(bucket).read_bytes(), _stamp(bucket)
            if kept.startswith(stamp):
                bucket.code = marshal.loads(kept[len(stamp) :])  # noqa: S302

    def dump_bytecode(self, bucket: Bucket) -> None:
        if sys.dont_write_bytecode:
            return
        with contextlib.suppress(*_MISSES):
            place = _place(bucket)
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh = place.with_name(f"{place.name}.{os.getpid()}.{threading.get_ident()}")
            fresh.write_bytes(_stamp(bucket) + marshal.dumps(bucket.code))
            fresh.replace(place)


def _stamp(bucket: Bucket) -> bytes:
    """All that the code depends on: versions, the environment's options, the template's text."""
    environment = bucket.environment
    options = environment.autoescape, environment.trim_blocks, environment.lstrip_blocks
    return bc_magic + f"{__version__} {options} {bucket.checksum}\n".encode()


def _place(bucket: Bucket) -> Path:
    """Raises ValueError for a template that is no file."""
    if not bucket.key:
        raise ValueError("not a file")
    return Path(cache_from_source(f"{bucket.key}.c"))


async def template(templates: Environment, name: str) -> Template:
    """A template with all that it needs, compiled if they are not yet, and not in the event loop."""
    loader = templates.loader
    if (weakref.ref(loader), name) not in (templates.cache or ()):
        await asyncio.to_thread(_compile, templates, loader, name)
    return templates.get_template(name)


def _compile(templates: Environment, loader: Any, name: str) -> None:
    for needed in _NEEDS.findall(loader.get_source(templates, name)[0]):
        _compile(templates, loader, needed)
    templates.get_template(name)
