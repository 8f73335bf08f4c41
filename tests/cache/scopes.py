"""A scope for cached functions in tests: layers of its own, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiocache import SimpleMemoryCache

from perfmw.cache import Coalescer, MemoryLayer, TieredCache
from perfmw.cache.scope import Scope, set_provider
from tests.cache.clock import FakeClock


class OwnScope:
    def __init__(self, *, far: bool = False) -> None:
        self.clock = FakeClock()
        self.memory = MemoryLayer(clock=self.clock)
        self.far = SimpleMemoryCache()
        layers = [("memory", self.memory), ("far", self.far)]
        self.cache = TieredCache(layers if far else layers[:1], clock=self.clock)
        self.coalescer = Coalescer()

    def space(self, name: str) -> Scope:
        return self


@contextmanager
def own_scope(*, far: bool = False) -> Iterator[OwnScope]:
    """Cached functions use it until the block ends."""
    mine = OwnScope(far=far)
    before = set_provider(lambda: mine)
    try:
        yield mine
    finally:
        set_provider(before)
