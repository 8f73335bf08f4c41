"""Eviction policies, one file each. They know keys, sizes and costs; never values, clocks or I/O.

A policy that sets ``lock_free_hits = True`` promises that its ``on_hit`` may run in one thread while another
thread inserts or evicts; the cache takes its lock around the ``on_hit`` of every other policy.
"""

from perfmw.cache.eviction.adaptive import ADAPTIVE, AdaptivePolicy, where_it_wins
from perfmw.cache.eviction.arc import ARCPolicy
from perfmw.cache.eviction.fifo import FIFOPolicy
from perfmw.cache.eviction.gdsf import GDSFPolicy
from perfmw.cache.eviction.lfu import LFUPolicy
from perfmw.cache.eviction.lirs import LIRSPolicy
from perfmw.cache.eviction.lru import LRUPolicy
from perfmw.cache.eviction.random import RandomPolicy
from perfmw.cache.eviction.s3fifo import S3FIFOPolicy
from perfmw.cache.eviction.sieve import SievePolicy
from perfmw.cache.eviction.wtinylfu import WTinyLFUPolicy
from perfmw.contracts import EvictionPolicyFactory

POLICIES: dict[str, EvictionPolicyFactory] = {
    **ADAPTIVE,
    "arc": ARCPolicy,
    "fifo": FIFOPolicy,
    "gdsf": GDSFPolicy,
    "lfu": LFUPolicy,
    "lirs": LIRSPolicy,
    "lru": LRUPolicy,
    "random": RandomPolicy,
    "s3fifo": S3FIFOPolicy,
    "sieve": SievePolicy,
    "wtinylfu": WTinyLFUPolicy,
}

__all__ = [
    "POLICIES",
    "ARCPolicy",
    "AdaptivePolicy",
    "FIFOPolicy",
    "GDSFPolicy",
    "LFUPolicy",
    "LIRSPolicy",
    "LRUPolicy",
    "RandomPolicy",
    "S3FIFOPolicy",
    "SievePolicy",
    "WTinyLFUPolicy",
    "where_it_wins",
]
