"""The distributed layer of the box: aiocache's Redis backend, with connections that fail fast."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aiocache.backends.redis import RedisCache
from aiocache.serializers import NullSerializer
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_CONNECTIONS = 32
_SCAN = 500


class RedisLayer(RedisCache):  # type: ignore[misc]  # aiocache is untyped
    """Bytes in Redis, Valkey or what speaks like them. Nothing connects before the first operation.

    redis-py by default tries for seconds to reach a server that is gone; here an attempt is one attempt, and
    whoever calls has a deadline and a circuit breaker of its own.

    :param url: such as ``redis://:password@localhost:6379/0``, ``rediss://`` for TLS, ``unix://``.
    :param prefix: what keys there begin with, before a colon.
    :param deadline: seconds to connect, and to wait for an answer.
    :raises ValueError: for a URL of another kind.
    """

    NAME = "redis"

    def __init__(self, url: str, *, prefix: str = "perfmw", deadline: float = 0.25) -> None:
        super().__init__(serializer=NullSerializer(encoding=None), namespace=prefix, timeout=None)
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=deadline,
            socket_connect_timeout=deadline,
            socket_timeout=deadline,
            retry=Retry(NoBackoff(), 0),
            decode_responses=False,
        )
        self.client = Redis(connection_pool=pool)
        self.client.auto_close_connection_pool = True

    async def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, bytes]]:
        """Keys that begin so, and what is stored under each; the server is asked in small steps."""
        start = self.build_key("")
        batch: list[bytes] = []
        async for key in self.client.scan_iter(match=_literally(start + prefix) + "*", count=_SCAN):
            batch.append(key)
            if len(batch) >= _SCAN:
                async for found in self._read(batch, len(start)):
                    yield found
                batch.clear()
        async for found in self._read(batch, len(start)):
            yield found

    async def _read(self, keys: list[bytes], start: int) -> AsyncIterator[tuple[str, bytes]]:
        values: list[Any] = await self.client.mget(keys) if keys else []
        for key, value in zip(keys, values, strict=True):
            if value is not None:
                yield key.decode("utf-8", "surrogateescape")[start:], value

    def build_key(self, key: Any, namespace: str | None = None) -> str:
        """The key with its prefix, as aiocache builds it."""
        return str(self._build_key(key, namespace))

    async def _set(
        self, key: str, value: Any, ttl: float | None = None, _cas_token: Any = None, _conn: Any = None
    ) -> Any:
        if _cas_token is not None:
            return await self._cas(key, value, _cas_token, ttl=ttl, _conn=_conn)
        return await self.client.set(key, value, px=int(ttl * 1000) if ttl else None)

    async def _close(self, *args: Any, _conn: Any = None, **kwargs: Any) -> None:
        await self.client.aclose()


def _literally(text: str) -> str:
    """A glob pattern for exactly this text."""
    return "".join(f"\\{letter}" if letter in "*?[]^\\" else letter for letter in text)
