"""The cache: entries, layers, tags, single flight, and the function cache."""

from perfmw.cache.cached import cached
from perfmw.cache.cached_many import cached_many
from perfmw.cache.coalescing import Coalescer, Flight
from perfmw.cache.disk import DiskLayer
from perfmw.cache.entries import Entry
from perfmw.cache.eviction import POLICIES
from perfmw.cache.intelligence import IntelligentCacheManager
from perfmw.cache.memo import request_scope
from perfmw.cache.memory import MemoryLayer
from perfmw.cache.packing import register
from perfmw.cache.per_request import per_request
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
