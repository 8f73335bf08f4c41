"""perfmw: the performance and caching layer for ASGI apps."""

from perfmw.cache.cached import cached
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
