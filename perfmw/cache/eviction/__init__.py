"""Eviction policies, one file each. They know keys, sizes and costs; never values, clocks or I/O.

A policy that sets ``lock_free_hits = True`` promises that its ``on_hit`` may run in one thread while another
thread inserts or evicts; the cache takes its lock around the ``on_hit`` of every other policy.
"""

from perfmw.cache.eviction.fifo import FIFOPolicy
from perfmw.cache.eviction.lru import LRUPolicy
from perfmw.contracts import EvictionPolicyFactory

POLICIES: dict[str, EvictionPolicyFactory] = {
    "fifo": FIFOPolicy,
    "lru": LRUPolicy,
}

__all__ = ["POLICIES", "FIFOPolicy", "LRUPolicy"]
