"""What other sizes of the memory would give, learned from what is read; its best size, and parts of it."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from perfmw.cache.functions.callspec import function_infos
from perfmw.cache.sizes import ENTRY_OVERHEAD, size_of
from perfmw.cache.spaces import SHARED
from perfmw.learning.cost import Curve, WhatIf, what_if
from perfmw.learning.curves import MissRatioCurve
from perfmw.learning.keypatterns import key_pattern
from perfmw.learning.waste import Unread
from perfmw.optimization.allotted import allotted
from perfmw.runtime import policies
from perfmw.runtime.allotting import parts_plan
from perfmw.runtime.economy import economy_of, prices_of
from perfmw.runtime.functionreads import FunctionReads
from perfmw.runtime.parts import Parts
from perfmw.runtime.proposals import Proposals

if TYPE_CHECKING:
    from perfmw.cache.memory import MemoryLayer
    from perfmw.runtime.runtime import Runtime
    from perfmw.runtime.trail import Trail

MOST_ROUTES: Final = 50
OTHERS: Final = "(others)"
_WHOLE: Final = 10_000, 1_024
_ROUTE: Final = 1_000, 256
"""Keys held exactly, and of the sample beyond; by bytes, where a read costs more, twice the sample is all."""
_MOST_PATHS: Final = 10_000
TUNE_SECONDS: Final = 60.0
LEAST_READS: Final = 2_000
"""With fewer a curve tells too little to act on."""
_STEPS = 16
_HARDLY = 0.002
"""So much of the hit ratio is not worth memory."""
_WORTH_A_CHANGE = 0.15
_MORE = 0.02
_WHY = "the miss-ratio curves of the last reads"
_TRIED = "both policies were tried on the last reads"


class Curves:
    """A curve for each namespace and each route, of the reads of what can be cached. Bounded."""

    def __init__(self, now: float) -> None:
        self.since = now
        self.spaces: dict[str, MissRatioCurve] = {}
        self.routes: dict[str, MissRatioCurve] = {}
        self._paths: dict[str, MissRatioCurve] = {}

    def access(self, space: str, key: str, path: str, size: int) -> None:
        """A read of a page of ``size`` bytes; ``space`` is the namespace that keeps it."""
        self.access_space(space, key, size)
        curve = self._paths.get(path)
        if curve is None:
            curve = self._of_route(path)
        curve.access(key, size)

    def access_space(self, space: str, key: str, size: int) -> None:
        """A read of anything that ``space`` keeps."""
        curve = self.spaces.get(space)
        if curve is None:
            curve = self.spaces[space] = MissRatioCurve(*_WHOLE)
        curve.access(key, size)

    def _of_route(self, path: str) -> MissRatioCurve:
        """The curve of a path's kind; looked for once a path, for a while."""
        route = key_pattern(path.partition("?")[0])
        if route not in self.routes and len(self.routes) >= MOST_ROUTES:
            route = OTHERS
        curve = self.routes.get(route)
        if curve is None:
            curve = self.routes[route] = MissRatioCurve(*_ROUTE)
        if len(self._paths) >= _MOST_PATHS:
            self._paths.clear()
        self._paths[path] = curve
        return curve

    def enough(self, space: str, most: int) -> int | None:
        """The least bytes that hit hardly less than ``most`` bytes do; None while too little is known."""
        curve = self.spaces.get(space)
        if curve is None or curve.accesses < LEAST_READS or curve.by_bytes is None:
            return None
        sizes = [most * step // _STEPS for step in range(1, _STEPS + 1)]
        ratios = curve.by_bytes.curve(sizes)
        return next(size for size, ratio in zip(sizes, ratios, strict=True) if ratio >= ratios[-1] - _HARDLY)


class Tuner:
    """Tells what the curves say, and sizes the memory by them where ``auto_tuning`` allows it."""

    def __init__(self, runtime: Runtime, curves: Curves) -> None:
        self._runtime = runtime
        self.curves = curves
        self._tuned_at = curves.since
        self.proposals = Proposals(runtime)
        self.sizing: dict[str, Any] | None = None
        """The size of the memory that was last worked out to do as well, as a plan for an experiment."""
        self.trail: Trail | None = None
        self.functions = FunctionReads(runtime.spaces)
        self.parts = Parts(runtime.settings, runtime.plugins.eviction_policies)
        self.unread = Unread()
        self._hits = 0
        """Of pages in the shared memory: what it finds itself may be past its freshness."""

    def page(self, space: str, key: str, path: str, size: int, *, api: bool, new: bool) -> None:
        """A page was read, or is ``new`` in the cache; ``space`` is the namespace that keeps it."""
        if new:
            self.parts.stores(key, api=api)
            self.unread.store(key, size)
        else:
            self.unread.read(key)
        self.curves.access(space, key, path, size)
        if space == SHARED:
            self._hits += not new
            self.parts.read("api" if api else "content", key, size)

    def tick(self, now: float) -> None:
        """Learn what functions read; and act, or recommend, once a minute; ``now`` in unix seconds."""
        for space, key, size in self.functions.take():
            if self.functions.complete:
                weight = size + size_of(key) + ENTRY_OVERHEAD
                self.curves.access_space(space, key, weight)
                if space == SHARED:
                    self.parts.read("functions", key, weight)
        if now - self._tuned_at < TUNE_SECONDS:
            return
        self._tuned_at = now
        self.unread.settle(self._holds)
        layer = self._runtime.cache.memory
        if layer is None or not self.functions.complete:
            return
        self._tune_parts(layer)
        self._tune_memory(layer, now)

    def _holds(self, key: Hashable) -> bool:
        caches = self._runtime.spaces.caches.values()
        return any(one.memory is not None and key in one.memory for one in caches)

    def _tune_parts(self, layer: MemoryLayer) -> None:
        plan = parts_plan(self._runtime, self.parts, layer)
        if "value" in plan:
            self.proposals.put(allotted("memory_parts", plan), plan["why"])
        else:
            self.proposals.drop("memory_parts")

    def _tune_size(self, layer: MemoryLayer, now: float) -> None:
        if layer.max_bytes is None:
            return
        self.sizing = self._size(layer, layer.max_bytes, now)
        if self.sizing is not None:
            self.proposals.put(allotted("memory_max_bytes", self.sizing), self.sizing["why"])
        else:
            self.proposals.drop("memory_max_bytes")

    def _size(self, layer: MemoryLayer, before: int, now: float) -> dict[str, Any] | None:
        """Another size that hits hardly less, or what is needed again; None where it is well as it is."""
        wanted = self.curves.enough(SHARED, self._runtime.settings.memory_max_bytes)
        if wanted is None or abs(wanted - before) < _WORTH_A_CHANGE * before:
            return None
        if wanted < before and self._beats_its_curve(layer):
            return None
        said = self.what_if(SHARED, now, wanted / before)
        sizes = [f"{round(size / 2**20, 2):,g} MiB" for size in (wanted, before, before - wanted)]
        reads = self.curves.spaces[SHARED].accesses
        return {
            "type": "memory_size",
            "why": said.in_words("bytes") if said is not None else _WHY,
            "value": wanted,
            "before": before,
            "title": f"Hold {sizes[0]} in memory instead of {sizes[1]}",
            "evidence": {"reads": reads, "hits_an_hour": said.hits if said is not None else None},
            "gain": 0.0,
            "seconds": max(0.0, said.seconds_saved / 3_600) if said is not None else 0.0,
            "spares": f"{sizes[2]} of memory" if wanted < before else "",
        }

    def _beats_its_curve(self, layer: MemoryLayer) -> bool:
        """Whether more is hit than LRU would: then its curve does not tell what less memory would lose."""
        curve, size = self.curves.spaces[SHARED], layer.max_bytes
        if curve.by_bytes is None or size is None:
            return False
        functions = sum(info.hits for info in function_infos() if info.name in self.functions.functions)
        return (self._hits + functions) / curve.accesses > curve.by_bytes.curve([size])[0] + _MORE

    def _tune_memory(self, layer: MemoryLayer, now: float) -> None:
        """Its policy, where another does better, else its size.

        Functions' reads are not remembered one by one, so that policies cannot be tried on them.
        """
        runtime, policy = self._runtime, layer.policy
        if self.trail is None or not layer.evictions or self.functions.told() or not runtime.started:
            self._tune_size(layer, now)
            return
        if self.proposals.asked("eviction_policy", policy):
            return
        reads, known = self.trail.accesses(policies.MOST_READS), runtime.plugins.eviction_policies

        async def compare() -> None:
            what = await asyncio.to_thread(policies.better_policy, reads, len(layer), policy, known)
            if what is None:
                self._tune_size(layer, now)
            elif layer.policy == policy:
                self.proposals.put(what, _TRIED)

        runtime.spawn(compare(), name="perfmw-policy")

    def told(self, now: float) -> dict[str, Any]:
        """By namespace and by route: reads, the knee, and what twice the memory would give."""
        return {
            "namespaces": {name: self._of(name, one, now) for name, one in self.curves.spaces.items()},
            "routes": {name: _plain(one) for name, one in self.curves.routes.items()},
            "functions": self._of_functions(now),
            "economy": {name: self._economy(name, now) for name in self._runtime.spaces.caches},
            "waste": {
                "stored": self.unread.stored,
                "never_hit": self.unread.never_hit,
                "never_hit_share": self.unread.share,
                "words": self.unread.in_words(),
            },
        } | ({"partition": parts} if (parts := self.parts.told(self._runtime.cache.memory)) else {})

    def _economy(self, space: str, now: float) -> dict[str, Any]:
        """What the memory of a namespace cost and spared since the start."""
        infos = [info for info in self._runtime.caching.infos() if info.namespace == space]
        found = economy_of(self._runtime, space, infos, now)
        return asdict(found) | {"words": found.in_words()}

    def _of_functions(self, now: float) -> dict[str, Any]:
        """Of each cached function, what its own results would give with twice the entries that it uses."""
        told = self.functions.told()
        for info in function_infos():
            learned = self.functions.functions.get(info.name)
            entries = learned.entries_for(info.hits / max(info.hits + info.misses, 1)) if learned else 0
            if learned is None or not entries or not info.fills:
                continue
            double = what_if(
                learned.ratios,
                entries,
                reads_an_hour=told[info.name]["reads"] / self._hours(now),
                miss_seconds=info.seconds / info.fills,
                entry_bytes=learned.mean_bytes + ENTRY_OVERHEAD,
                prices=prices_of(self._runtime.settings),
            )
            told[info.name]["entries"] = entries
            told[info.name]["double"] = asdict(double) | {"worth": double.worth, "words": double.in_words()}
        return told

    def _hours(self, now: float) -> float:
        return max(now - self.curves.since, 1.0) / 3_600

    def what_if(self, space: str, now: float, factor: float = 2.0) -> WhatIf | None:
        """What other memory for ``space`` would give; None where it is not bounded, or nothing was read."""
        bound = self._bound(space)
        if bound is None:
            return None
        curve, size, entry_bytes = bound
        return what_if(
            curve,
            size,
            factor=factor,
            reads_an_hour=self.curves.spaces[space].accesses / self._hours(now),
            miss_seconds=self._runtime.caching.seconds_of_a_miss(space),
            entry_bytes=entry_bytes,
            prices=prices_of(self._runtime.settings),
        )

    def _of(self, space: str, curve: MissRatioCurve, now: float) -> dict[str, Any]:
        found, bound, double = _plain(curve), self._bound(space), self.what_if(space, now)
        if bound is None or double is None:
            return found
        ratios, size, entry_bytes = bound
        unit = "bytes" if entry_bytes == 1.0 else "entries"
        found[unit], found["hit_ratio"] = size, ratios([size])[0]
        found["double"] = asdict(double) | {"worth": double.worth, "words": double.in_words(unit)}
        if unit == "bytes":
            found["beyond"] = self._beyond(space, size)
        return found

    def _beyond(self, space: str, size: int) -> int | None:
        """Bytes that hardly give a hit; None while too little is known."""
        enough = self.curves.enough(space, size)
        return None if enough is None else size - enough

    def _bound(self, space: str) -> tuple[Curve, int, float] | None:
        """The curve over what is short, bytes or entries, the bound of it, and the bytes of one."""
        cache, curve = self._runtime.spaces.caches.get(space), self.curves.spaces.get(space)
        if cache is None or cache.memory is None or curve is None or curve.by_bytes is None:
            return None
        bytes_, entries = cache.memory.max_bytes, cache.memory.max_entries
        mean = curve.by_bytes.requested / curve.accesses
        if entries is not None and (bytes_ is None or entries * mean < bytes_):
            return curve.curve, entries, mean
        return None if bytes_ is None else (curve.by_bytes.curve, bytes_, 1.0)


def _plain(curve: MissRatioCurve) -> dict[str, Any]:
    return {"reads": curve.accesses, "knee": curve.knee(), "footprint": curve.footprint()}
