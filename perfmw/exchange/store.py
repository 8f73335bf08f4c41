"""Stored responses in the tiered cache: one key a URL, an index in its place once a response varies."""

from __future__ import annotations

from collections.abc import Iterable

from perfmw.cache.spaces import ResponseCache
from perfmw.cache.tiered import TieredCache
from perfmw.exchange.packer import Packer
from perfmw.http.messages import Request, StoredResponse
from perfmw.http.packed import Packed
from perfmw.http.policy import Policy
from perfmw.http.validation import joined
from perfmw.http.variants import VariantIndex, variant_key

_HEADER_OVERHEAD = 64
_ENTRY_OVERHEAD = 600


def weight(stored: StoredResponse, key: str) -> int:
    """Bytes a stored response takes, with its fields, key and the objects around them."""
    fields = sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in stored.headers)
    if type(stored) is Packed:
        return len(stored.body) + 2 * fields + len(key) + 2 * _ENTRY_OVERHEAD
    return len(stored.body) + fields + len(key) + _ENTRY_OVERHEAD


class ResponseStore:
    """Finds and keeps the responses of one runtime."""

    def __init__(
        self, cache: TieredCache | ResponseCache, policy: Policy, packer: Packer | None = None
    ) -> None:
        self._cache = cache
        self._policy = policy
        self._packer = packer or Packer()

    async def find(self, key: str, request: Request) -> list[StoredResponse]:
        """Every stored response of the URL that may be the one for ``request``."""
        value = await self._value(key)
        found = [value]
        if isinstance(value, VariantIndex):
            names = value.select(request.fields, strict=self._policy.rfc_strict) or value.keys()[:1]
            found = [await self._value(name) for name in names]
        return self._usable(found, request)

    async def variants(self, key: str) -> VariantIndex | None:
        """What is known of the URL's several responses."""
        value = await self._value(key)
        return value if isinstance(value, VariantIndex) else None

    async def tagged(self, key: str, etag: bytes) -> list[StoredResponse]:
        """The URL's responses that have this entity tag."""
        index = await self.variants(key)
        found = [await self._value(name) for name in (index.tagged(etag) if index else ())]
        return self._usable(found, None)

    def _usable(self, found: Iterable[object], request: Request | None) -> list[StoredResponse]:
        """Those in force, as ``request`` is to get them, or as the origin sent them."""
        unpacked = (
            self._packer.unpacked(stored, request)
            for stored in found
            if isinstance(stored, StoredResponse) and self._in_force(stored)
        )
        return [stored for stored in unpacked if stored is not None]

    def _in_force(self, stored: StoredResponse) -> bool:
        """Not one that owes its freshness to a rule which has been taken out since."""
        return not stored.rule or stored.rule in self._policy.rules.active

    async def forget(self, key: str, stored: StoredResponse) -> None:
        """Drop one response of a URL."""
        await self._cache.invalidate(keys=[variant_key(key, stored)])

    def tags_of(self, key: str, stored: StoredResponse) -> tuple[str, ...]:
        """The tags that a stored response of this process has now, to be kept when it is renewed."""
        entry = self._cache.get_nowait(variant_key(key, stored))
        return entry.tags if entry is not None else ()

    async def keep(
        self, key: str, stored: StoredResponse, *, tags: Iterable[str], cost: float, epoch: int, now: float
    ) -> bool:
        """Store a complete response; False when an invalidation since ``epoch`` or a bound forbids it."""
        labels = tuple(tags)
        ttl = stored.keep_seconds(
            now, grace=self._policy.grace, validator_seconds=self._policy.validator_seconds
        )
        if ttl <= 0 or not self._cache.tags.admits(key, labels, epoch):
            return False
        if stored.range is not None:
            if await self._has_whole(key, now):
                return False
            stored, labels = await self._joined(key, stored, labels)
        stored = await self._packer.packed(stored)
        name = variant_key(key, stored)
        size = weight(stored, name)
        kept = await self._cache.put(name, stored, ttl=ttl, tags=labels, size=size, cost=cost, epoch=epoch)
        if kept and name != key:
            await self._list(key, name, stored, ttl)
        return kept

    async def _joined(
        self, key: str, part: StoredResponse, tags: tuple[str, ...]
    ) -> tuple[StoredResponse, tuple[str, ...]]:
        """The part with what is stored next to it, and the tags of both."""
        present = await self._value(variant_key(key, part))
        if not isinstance(present, StoredResponse):
            return part, tags
        both = joined(present, part, self._policy.max_body_bytes)
        if both is part:
            return part, tags
        return both, tuple({*tags, *self.tags_of(key, present)})

    async def _has_whole(self, key: str, now: float) -> bool:
        """A part is worth less than a whole that is still fresh."""
        present = await self._value(key)
        return isinstance(present, StoredResponse) and now < present.fresh_until

    async def _list(self, key: str, name: str, stored: StoredResponse, ttl: float) -> None:
        present = await self._value(key)
        index = present if isinstance(present, VariantIndex) else VariantIndex()
        index, dropped = index.with_response(name, stored, self._policy.max_variants)
        await self._cache.put(key, index, ttl=max(ttl, self._policy.validator_seconds))
        if dropped:
            await self._cache.invalidate(keys=dropped)

    async def _value(self, key: str) -> object:
        entry = self._cache.get_nowait(key)
        if entry is None and not self._cache.all_memory:
            entry = await self._cache.get_entry(key)
        return entry.value if entry is not None else None
