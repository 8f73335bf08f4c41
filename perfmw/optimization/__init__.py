"""Find what would help, try it on live traffic, keep it only if it is proven to help."""

from perfmw.optimization.cache_route import CacheRouteOptimizer
from perfmw.optimization.engine import EngineBusyError, PerformanceOptimizationEngine
from perfmw.optimization.experiment import Gates
from perfmw.optimization.host import EngineHost
from perfmw.optimization.ledger import Ledger, LedgerEntry

__all__ = [
    "CacheRouteOptimizer",
    "EngineBusyError",
    "EngineHost",
    "Gates",
    "Ledger",
    "LedgerEntry",
    "PerformanceOptimizationEngine",
]
