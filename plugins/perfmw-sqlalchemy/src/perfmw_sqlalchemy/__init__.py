"""Database connection pools as a perfmw plugin: installed, it watches every SQLAlchemy engine.

Pools of asyncpg and psycopg, and names for each, are told by ``DatabasePools``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmw import Settings, hookimpl
from perfmw.contracts import ResourcePool
from perfmw_sqlalchemy.engines import EnginePool
from perfmw_sqlalchemy.pool import DatabasePool, DatabasePools

__version__ = "0.1.0"
__all__ = [
    "DatabasePool",
    "DatabasePools",
    "EnginePool",
    "perfmw_register_resource_pools",
    "perfmw_shutdown",
    "perfmw_startup",
]

perfmw_api_version = 1

_NAME = "database"


@hookimpl
def perfmw_register_resource_pools(settings: Settings) -> Mapping[str, ResourcePool]:
    return {_NAME: EnginePool(_NAME)}


@hookimpl
def perfmw_startup(runtime: Any) -> None:
    _of(runtime).open()


@hookimpl
def perfmw_shutdown(runtime: Any) -> None:
    _of(runtime).close()


def _of(runtime: Any) -> EnginePool:
    pool: EnginePool = runtime.plugins.resource_pools[_NAME]
    return pool
