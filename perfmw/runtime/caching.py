"""What the caches of one runtime did: layers, namespaces, routes and functions, and the hottest keys."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from perfmw.cache.functions.callspec import FunctionInfo, function_infos
from perfmw.cache.spaces import layer_name
from perfmw.contracts import CacheLayerInfo, CacheStatistics, CacheUse
from perfmw.http.messages import StoredResponse
from perfmw.http.variants import VariantIndex
from perfmw.profiles import LatencySketch
from perfmw.profiles.metrics import latency_metrics
from perfmw.runtime.hottest import KEPT, LONGEST, Hottest, read_file, write_file
from perfmw.runtime.workers import CachesSaid, Said, merged_layers

if TYPE_CHECKING:
    from perfmw.cache import Entry
    from perfmw.profiles.tracked import Tracked
    from perfmw.runtime.runtime import Runtime

log = logging.getLogger("perfmw.runtime")

SAMPLES: Final = 16
"""Reads of memory looked at after each tick; of all others only the hits and misses are counted."""
MEASURED: Final = 50
"""Routes whose hits are told with their latency."""
FILE: Final = "hottest.json"
SAVE_SECONDS: Final = 300.0
FADE_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Sampled:
    """Reads of the nearest layer of a cache that were looked at; of those that found something, sums."""

    layer: str
    waiting: list[tuple[str, Entry | None, float]] = field(default_factory=list)
    found: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def see(self, key: str, entry: Entry | None, seconds: float) -> None:
        """On the request's way, so that thinking waits for the tick."""
        if len(self.waiting) < 2 * SAMPLES:
            self.waiting.append((key, entry, seconds))


class CacheWatch:
    """Watches the caches of one runtime at no cost for the reads that are not sampled."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.since = time.time()
        self.hottest = Hottest()
        self._sampled: dict[str, _Sampled] = {}
        self._started = False
        self._starting = asyncio.Lock()
        self._reads: dict[str, LatencySketch] = {}
        self._faded_at = self._saved_at = self.since
        self.path = _file(runtime)
        """Where the hottest keys are kept over a restart; None where nothing is."""
        self.previous: list[tuple[str, float]] = []
        """The hottest keys of the run before, the hottest first."""
        for space, cache in runtime.spaces.caches.items():
            for layer in cache.far_layers():
                layer.record = self._sketch(layer_name(space, layer.name)).record
            if cache.memory is not None:
                self._sampled[space] = _Sampled(layer_name(space, cache.infos()[0].name))

    # ---- watching

    async def start(self) -> None:
        """Read what the run before left."""
        async with self._starting:
            if self.path is None or self._started:
                return
            self._started = True
            self.previous = await asyncio.to_thread(read_file, self.path)
            for key, weight in self.previous:
                self.hottest.note(key, weight / 2)

    async def close(self) -> None:
        """Leave the hottest keys to the next run."""
        self._take_in()
        await self._save()

    def tick(self, now: float) -> None:
        """Take in the samples and ask for more; the runtime's timer calls it. ``now`` in unix seconds."""
        self._take_in()
        for space, sampled in self._sampled.items():
            self._runtime.spaces.caches[space].watch_reads(sampled.see, SAMPLES)
        self._runtime.learning.tick(now)
        if now - self._faded_at >= FADE_SECONDS:
            self._faded_at = now
            self.hottest.fade()
        if now - self._saved_at >= SAVE_SECONDS:
            self._saved_at = now
            self._runtime.spawn(self._save(), name="perfmw-hottest")

    def _take_in(self) -> None:
        for sampled in self._sampled.values():
            waiting, sampled.waiting = sampled.waiting, []
            sketch = self._sketch(sampled.layer)
            for key, entry, seconds in waiting:
                sketch.record(seconds)
                if entry is not None:
                    sampled.found += 1
                    sampled.bytes += entry.size
                    sampled.seconds += entry.cost
                    if _is_page(key, entry.value):
                        self.hottest.note(key)

    def _sketch(self, layer: str) -> LatencySketch:
        return self._reads.setdefault(layer, LatencySketch())

    async def _save(self) -> None:
        """One worker of a host writes for all: each has seen a sample of the same traffic."""
        if self.path is None or not self._runtime.leads or not len(self.hottest):
            return
        try:
            await asyncio.to_thread(write_file, self.path, self.hottest.top(KEPT))
        except OSError as error:
            log.warning("the hottest keys could not be kept in %s: %s", self.path, error)

    # ---- telling

    def seconds_of_a_miss(self, space: str) -> float:
        """What computing took of what was hit, in seconds, on the mean of the reads that were looked at."""
        sampled = self._sampled.get(space)
        return sampled.seconds / sampled.found if sampled is not None and sampled.found else 0.0

    def served_share(self) -> float:
        """How much of what the layers found was what somebody got, 0..1.

        What is past its freshness is found as well, on the way to the app, and again when that has answered.
        """
        found = sum(info.hits for info in self._runtime.spaces.infos())
        tracked = (one.recorder for one in self._runtime.profiles.everything())
        pages = sum(one.counts().hits for one in tracked if one.type == "component")
        functions = sum(info.hits for info in function_infos())
        return min(1.0, (pages + functions) / found) if pages and found else 1.0

    def infos(self) -> list[CacheLayerInfo]:
        """The layers of this process, with what was sampled of their reads."""
        infos = [*self._runtime.spaces.infos(), *self._runtime.cdn.infos()]
        return [self._completed(info) for info in infos]

    def _completed(self, info: CacheLayerInfo) -> CacheLayerInfo:
        sketch = self._reads.get(info.name)
        if sketch is not None and not sketch.untouched():
            info = replace(info, latency=latency_metrics(sketch))
        sampled = self._sampled.get(info.namespace)
        if info.hit_bytes is None and sampled is not None and sampled.found and info.name == sampled.layer:
            info = replace(info, hit_bytes=info.hits * sampled.bytes // sampled.found)
        return info

    def said(self) -> CachesSaid:
        """What the other workers of the host are told."""
        coalescer = self._runtime.coalescer
        return CachesSaid(
            reads={name: one.state() for name, one in self._reads.items() if not one.untouched()},
            functions=function_infos(),
            coalesced=coalescer.joined,
            timeouts=coalescer.timeouts,
        )

    def layers(self, peers: Sequence[Said]) -> list[CacheLayerInfo]:
        """The layers of this host: what this worker and its ``peers`` did together."""
        layers = merged_layers(self.infos(), peers)
        reads = [one.caches.reads for one in peers if one.caches is not None]
        for layer in layers if reads else ():
            sketch = self._reads.get(layer.name, LatencySketch()).copy()
            for state in [theirs[layer.name] for theirs in reads if layer.name in theirs]:
                sketch.merge(LatencySketch.from_state(state))
            layer.latency = None if sketch.untouched() else latency_metrics(sketch)
        return layers

    def statistics(self, peers: Sequence[Said] = ()) -> CacheStatistics:
        """All of it, of the host: routes as the profiles know them, the rest since the workers' start."""
        routes = self._routes()
        whole = _together("http", routes)
        caches = [one.caches for one in peers if one.caches is not None]
        infos = _by_name([*function_infos(), *(info for one in caches for info in one.functions)])
        functions = [_of_function(info) for info in infos]
        coalescer, layers = self._runtime.coalescer, self.layers(peers)
        spaces = [self._of_space(name, layers) for name in self._runtime.spaces.caches if name]
        return CacheStatistics(
            since=self.since,
            whole=whole,
            layers=layers,
            namespaces=[whole, _together("functions", functions), *spaces],
            routes=routes,
            functions=functions,
            coalesced=coalescer.joined + sum(one.coalesced for one in caches),
            timeouts=coalescer.timeouts + sum(one.timeouts for one in caches),
        )

    def _routes(self) -> list[CacheUse]:
        """Every route that was asked for, by cheap counts; the busiest with the latency of their hits.

        Sketches of a thousand routes would take a tenth of a second of the event loop.
        """
        tracked = [one for one in self._runtime.profiles.everything() if one.recorder.type == "component"]
        found = [(_of_route(one), one) for one in tracked]
        asked = [(use, one) for use, one in found if use.hits or use.misses or use.fills]
        for use, one in nlargest(MEASURED, asked, key=lambda pair: pair[0].hits):
            sketch = one.reading().hit_sketch
            use.latency = None if sketch.untouched() else latency_metrics(sketch)
        return [use for use, _ in asked]

    def _of_space(self, name: str, layers: Sequence[CacheLayerInfo]) -> CacheUse:
        """A namespace with a cache of its own, by its layers; the time saved by the sampled reads."""
        own = [layer for layer in layers if layer.namespace == name]
        use = CacheUse("namespace", name, hits=sum(layer.hits for layer in own))
        if own:
            use.misses, use.fills = own[-1].misses, own[0].fills
            known = [layer.hit_bytes for layer in own if layer.hit_bytes is not None]
            use.hit_bytes, use.latency = sum(known) if known else None, own[0].latency
        sampled = self._sampled.get(name)
        if sampled is not None and sampled.found:
            use.seconds_saved = use.hits * sampled.seconds / sampled.found
        return use


def _file(runtime: Runtime) -> Path | None:
    settings = runtime.settings
    if settings.state_dir is not None:
        return Path(settings.state_dir) / FILE
    return settings.cache_file.parent / FILE if "disk" in settings.layers else None


def _is_page(key: str, value: Any) -> bool:
    """Whether asking for it again could fill the cache: the stored response of a URL."""
    variant = isinstance(value, StoredResponse) and (value.vary or value.range is not None)
    stored = isinstance(value, (StoredResponse, VariantIndex)) and not variant  # the index stands for them
    return stored and key.startswith(("GET http://", "GET https://")) and len(key) <= LONGEST


def _of_route(tracked: Tracked) -> CacheUse:
    """What this process counted, and what others did."""
    counts, foreign = tracked.recorder.counts(), tracked.foreign
    traffic, hits, requests, seconds = counts.traffic, counts.hits, counts.requests, counts.hit_seconds
    if foreign is not None:
        traffic.add(foreign.traffic)
        hits, requests = hits + foreign.hits, requests + foreign.count
        seconds += foreign.hit_sketch.sum
    return CacheUse(
        "route",
        tracked.recorder.name,
        hits=hits,
        misses=requests - hits,
        stale=traffic.stale,
        coalesced=traffic.collapsed,
        fills=traffic.fills,
        hit_bytes=traffic.hit_bytes,
        stored_bytes=traffic.stored_bytes,
        seconds_saved=traffic.saved - seconds,
    )


def _of_function(info: FunctionInfo) -> CacheUse:
    """Bytes and time of the hits by the means of the fills: a hit counts nothing but itself."""
    hits = info.hits + info.coalesced
    each = 1 / info.fills if info.fills else None
    return CacheUse(
        "function",
        info.name,
        hits=hits,
        misses=info.misses,
        coalesced=info.coalesced,
        fills=info.fills,
        hit_bytes=None if each is None else int(hits * info.stored_bytes * each),
        stored_bytes=info.stored_bytes,
        seconds_saved=None if each is None else hits * info.seconds * each,
    )


def _by_name(infos: Iterable[FunctionInfo]) -> list[FunctionInfo]:
    found: dict[str, FunctionInfo] = {}
    for info in infos:
        known = found.get(info.name)
        found[info.name] = info if known is None else known + info
    return [found[name] for name in sorted(found)]


def _together(name: str, uses: Iterable[CacheUse]) -> CacheUse:
    """The sums of several uses, as a namespace."""
    total, every = CacheUse("namespace", name), list(uses)
    for summed in fields(CacheUse):
        if summed.name not in ("kind", "name", "latency"):
            known = [value for one in every if (value := getattr(one, summed.name)) is not None]
            setattr(total, summed.name, sum(known) if known else summed.default)
    return total
