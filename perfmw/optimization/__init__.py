"""Find what would help, try it on live traffic, keep it only if it is proven to help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmw._lazy import lazily

if TYPE_CHECKING:
    from perfmw.optimization.advice import AdviceOptimizer
    from perfmw.optimization.allotted import AllotmentOptimizer
    from perfmw.optimization.cache_route import CacheRouteOptimizer
    from perfmw.optimization.cache_tuning import MemoryLayerOptimizer, RuleTtlOptimizer
    from perfmw.optimization.engine import EngineBusyError, PerformanceOptimizationEngine
    from perfmw.optimization.experiment import Gates
    from perfmw.optimization.forecasting import ForecastOptimizer
    from perfmw.optimization.host import EngineHost
    from perfmw.optimization.ledger import Ledger, LedgerEntry
    from perfmw.optimization.pool_size import PoolSizeOptimizer
    from perfmw.optimization.switches import SwitchOptimizer

__all__ = [
    "AdviceOptimizer",
    "AllotmentOptimizer",
    "CacheRouteOptimizer",
    "EngineBusyError",
    "EngineHost",
    "ForecastOptimizer",
    "Gates",
    "Ledger",
    "LedgerEntry",
    "MemoryLayerOptimizer",
    "PerformanceOptimizationEngine",
    "PoolSizeOptimizer",
    "RuleTtlOptimizer",
    "SwitchOptimizer",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "AdviceOptimizer": "perfmw.optimization.advice",
        "AllotmentOptimizer": "perfmw.optimization.allotted",
        "MemoryLayerOptimizer": "perfmw.optimization.cache_tuning",
        "PoolSizeOptimizer": "perfmw.optimization.pool_size",
        "RuleTtlOptimizer": "perfmw.optimization.cache_tuning",
        "CacheRouteOptimizer": "perfmw.optimization.cache_route",
        "EngineBusyError": "perfmw.optimization.engine",
        "EngineHost": "perfmw.optimization.host",
        "ForecastOptimizer": "perfmw.optimization.forecasting",
        "Gates": "perfmw.optimization.experiment",
        "Ledger": "perfmw.optimization.ledger",
        "SwitchOptimizer": "perfmw.optimization.switches",
        "LedgerEntry": "perfmw.optimization.ledger",
        "PerformanceOptimizationEngine": "perfmw.optimization.engine",
    },
)
