"""The cache: entries, layers, tags, single flight, and the function cache."""

from typing import TYPE_CHECKING

from perfmw._lazy import lazily

if TYPE_CHECKING:
    from perfmw.cache.coalescing import Coalescer, Flight
    from perfmw.cache.disk import DiskLayer
    from perfmw.cache.entries import Entry
    from perfmw.cache.eviction import POLICIES
    from perfmw.cache.functions.many import cached_many
    from perfmw.cache.functions.per_request import per_request
    from perfmw.cache.functions.single import cached
    from perfmw.cache.intelligence import IntelligentCacheManager
    from perfmw.cache.memo import request_scope
    from perfmw.cache.memory import MemoryLayer
    from perfmw.cache.packing import register
    from perfmw.cache.tagging import tag
    from perfmw.cache.tags import TagIndex
    from perfmw.cache.tiered import TieredCache

__all__ = [
    "POLICIES",
    "Coalescer",
    "DiskLayer",
    "Entry",
    "Flight",
    "IntelligentCacheManager",
    "MemoryLayer",
    "TagIndex",
    "TieredCache",
    "cached",
    "cached_many",
    "per_request",
    "register",
    "request_scope",
    "tag",
]

_HOMES = {
    "POLICIES": "perfmw.cache.eviction",
    "Coalescer": "perfmw.cache.coalescing",
    "DiskLayer": "perfmw.cache.disk",
    "Entry": "perfmw.cache.entries",
    "Flight": "perfmw.cache.coalescing",
    "IntelligentCacheManager": "perfmw.cache.intelligence",
    "MemoryLayer": "perfmw.cache.memory",
    "TagIndex": "perfmw.cache.tags",
    "TieredCache": "perfmw.cache.tiered",
    "cached": "perfmw.cache.functions.single",
    "cached_many": "perfmw.cache.functions.many",
    "per_request": "perfmw.cache.functions.per_request",
    "register": "perfmw.cache.packing",
    "request_scope": "perfmw.cache.memo",
    "tag": "perfmw.cache.tagging",
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
