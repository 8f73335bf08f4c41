"""perfmw: the performance and caching layer for ASGI apps.

The public names are imported when first used, so that the command line starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmw._lazy import lazily

if TYPE_CHECKING:
    from perfmw.cache.functions.single import cached
    from perfmw.cache.tagging import tag
    from perfmw.hookspecs import hookimpl
    from perfmw.middleware import PerfMiddleware
    from perfmw.runtime import Runtime, invalidate
    from perfmw.settings import CacheRule, Settings

__version__ = "0.1.0"
__all__ = [
    "CacheRule",
    "PerfMiddleware",
    "Runtime",
    "Settings",
    "__version__",
    "cached",
    "hookimpl",
    "invalidate",
    "tag",
]

_HOMES = {
    "CacheRule": "perfmw.settings",
    "PerfMiddleware": "perfmw.middleware",
    "Runtime": "perfmw.runtime",
    "Settings": "perfmw.settings",
    "cached": "perfmw.cache.functions.single",
    "hookimpl": "perfmw.hookspecs",
    "invalidate": "perfmw.runtime",
    "tag": "perfmw.cache.tagging",
}
_ROOMS = ("cache", "contracts", "http", "learning", "monitoring", "optimization", "profiles", "resources")
"""Packages with public names of their own, reachable as attributes: ``perfmw.cache.MemoryLayer``."""

__getattr__, __dir__ = lazily(__name__, _HOMES, rooms=_ROOMS)
