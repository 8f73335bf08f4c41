"""The disk layer: an aiocache backend over one SQLite file, its work done in threads."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer

from perfmw.cache.disk_file import DiskFile

DEFAULT_MAX_BYTES = 1024**3
_THREADS = 2
T = TypeVar("T")


class DiskLayer(BaseCache):  # type: ignore[misc]  # aiocache is untyped
    """Values on disk: bytes, text and numbers, kept over restarts and shared by the processes of a host.

    Nothing blocks the event loop. No method raises for what happens to the file: see ``DiskFile``, which is
    also the layer for code without an event loop (``layer.file``).

    :param path: the database file; it and its directory are made when first needed, with mode 0600.
    :param max_bytes: the bound of the file in bytes.
    :param ttl: seconds that an entry lives when a write does not say; None is for ever.
    """

    NAME = "perfmw-disk"

    def __init__(
        self,
        path: str | Path,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        clock: Callable[[], float] = time.time,
        namespace: str | None = None,
        ttl: float | None = None,
    ) -> None:
        super().__init__(serializer=NullSerializer(encoding=None), namespace=namespace, timeout=None, ttl=ttl)
        self.file = DiskFile(path, max_bytes=max_bytes, clock=clock)
        self._clock = clock
        self._pool: ThreadPoolExecutor | None = None

    @property
    def bytes(self) -> int:
        """What is used of the file, as last looked at."""
        return self.file.used_bytes

    @property
    def max_bytes(self) -> int:
        return self.file.max_bytes

    @property
    def evictions(self) -> int:
        return self.file.evictions

    @property
    def expirations(self) -> int:
        """Expired entries that were removed to make room, or found in passing."""
        return self.file.expirations

    async def _run(self, work: Callable[..., T], *args: Any) -> T:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="perfmw-disk")
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args))

    def _expires(self, ttl: float | None) -> float | None:
        seconds = _seconds(ttl)
        return None if seconds is None else self._clock() + seconds

    # ---- what aiocache asks of a backend

    def build_key(self, key: Any, namespace: str | None = None) -> Any:
        """The key with its namespace, as aiocache builds it."""
        return self._build_key(key, namespace)

    async def _get(self, key: str, encoding: Any = None, _conn: Any = None) -> Any:
        return await self._run(self.file.get, key)

    async def _gets(self, key: str, encoding: Any = None, _conn: Any = None) -> Any:
        return await self._get(key)

    async def _multi_get(self, keys: Iterable[str], encoding: Any = None, _conn: Any = None) -> list[Any]:
        return await self._run(self.file.get_many, tuple(keys))

    async def _set(
        self, key: str, value: Any, ttl: float | None = None, _cas_token: Any = None, _conn: Any = None
    ) -> Any:
        _check(value)
        if _cas_token is None:
            return await self._run(self.file.set, key, value, _seconds(ttl))
        expires = self._expires(ttl)

        def change(present: Any, _: float | None) -> tuple[Any, float | None] | None:
            return (value, expires) if present == _cas_token else None

        return int(await self._run(self.file.update, key, change) is not None)

    async def _multi_set(
        self, pairs: Iterable[tuple[str, Any]], ttl: float | None = None, _conn: Any = None
    ) -> bool:
        return all([await self._set(key, value, ttl) for key, value in pairs])

    async def _add(self, key: str, value: Any, ttl: float | None = None, _conn: Any = None) -> bool:
        _check(value)
        expires, taken = self._expires(ttl), False

        def change(present: Any, _: float | None) -> tuple[Any, float | None] | None:
            nonlocal taken
            taken = present is not None
            return None if taken else (value, expires)

        stored = await self._run(self.file.update, key, change)
        if taken:
            raise ValueError(f"Key {key} already exists, use .set to update the value")
        if stored is None:  # where nothing is raised aiocache says True, as if the lock were held
            raise ValueError(f"Key {key} could not be added: {self.file.path} cannot be written")
        return True

    async def _delete(self, key: str, _conn: Any = None) -> int:
        return int(await self._run(self.file.delete, key))

    async def _exists(self, key: str, _conn: Any = None) -> bool:
        return await self._get(key) is not None

    async def _increment(self, key: str, delta: int, _conn: Any = None) -> int:
        def change(value: Any, expires: float | None) -> tuple[Any, float | None]:
            try:
                return (0 if value is None else int(value)) + delta, expires
            except ValueError:
                raise TypeError("Value is not an integer") from None

        counted = await self._run(self.file.update, key, change)
        return delta if counted is None else int(counted)  # without a file, as if nothing had been there

    async def _expire(self, key: str, ttl: float, _conn: Any = None) -> bool:
        expires = self._expires(ttl)

        def change(value: Any, _: float | None) -> tuple[Any, float | None] | None:
            return None if value is None else (value, expires)

        return await self._run(self.file.update, key, change) is not None

    async def _clear(self, namespace: str | None = None, _conn: Any = None) -> bool:
        prefix = self.namespace if namespace is None else namespace
        await self._run(self.file.clear, prefix or "")
        return True

    async def _raw(
        self, command: str, *args: Any, encoding: Any = None, _conn: Any = None, **kwargs: Any
    ) -> Any:
        """``command`` is a method of ``DiskFile``, such as ``keys``."""
        return await self._run(partial(getattr(self.file, command), *args, **kwargs))

    async def _redlock_release(self, key: str, value: Any) -> int:
        return await self._delete(key) if await self._get(key) == value else 0

    async def _close(self, *args: Any, **kwargs: Any) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.get_running_loop().run_in_executor(pool, self.file.close)
            pool.shutdown(wait=False)


def _seconds(ttl: float | None) -> float | None:
    return None if not ttl or ttl == math.inf else ttl


def _check(value: Any) -> None:
    if not isinstance(value, (bytes, str, int, float)):
        raise TypeError(f"the disk layer keeps bytes, text and numbers, not {type(value).__name__}")
