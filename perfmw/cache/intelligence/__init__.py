"""A cache strategy made of a workload, and a layer brought to it step by step."""

from perfmw.cache.intelligence.manager import IntelligentCacheManager

__all__ = ["IntelligentCacheManager"]
