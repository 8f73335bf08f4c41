"""What the caches of one runtime did: layers, namespaces, routes and functions, and the hottest keys."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from perfmw.cache.callspec import FunctionInfo, function_infos
from perfmw.contracts import CacheLayerInfo, CacheStatistics, CacheUse
from perfmw.http.messages import StoredResponse
from perfmw.http.variants import VariantIndex
from perfmw.profiles import LatencySketch, Reading
from perfmw.profiles.metrics import latency_metrics
from perfmw.runtime.hottest import KEPT, LONGEST, Hottest, read_file, write_file
from perfmw.runtime.workers import CachesSaid, Said, merged_layers

if TYPE_CHECKING:
    from perfmw.cache import Entry
    from perfmw.runtime.runtime import Runtime

log = logging.getLogger("perfmw.runtime")

SAMPLES: Final = 16
"""Reads of memory looked at after each tick; of all others only the hits and misses are counted."""
FILE: Final = "hottest.json"
SAVE_SECONDS: Final = 300.0
FADE_SECONDS: Final = 60.0


class CacheWatch:
    """Watches the caches of one runtime at no cost for the reads that are not sampled."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.since = time.time()
        self.hottest = Hottest()
        self._samples: list[tuple[str, Entry | None, float]] = []
        self._sizes = self._sized = 0
        self._started = False
        self._starting = asyncio.Lock()
        self._reads: dict[str, LatencySketch] = {}
        self._faded_at = self._saved_at = self.since
        self.path = _file(runtime)
        """Where the hottest keys are kept over a restart; None where nothing is."""
        self.previous: list[tuple[str, float]] = []
        """The hottest keys of the run before, the hottest first."""
        for layer in runtime.cache.far_layers():
            layer.record = self._reads.setdefault(layer.name, LatencySketch()).record

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
        self._runtime.cache.watch_reads(self._see, SAMPLES)
        if now - self._faded_at >= FADE_SECONDS:
            self._faded_at = now
            self.hottest.fade()
        if now - self._saved_at >= SAVE_SECONDS:
            self._saved_at = now
            self._runtime.spawn(self._save(), name="perfmw-hottest")

    def _see(self, key: str, entry: Entry | None, seconds: float) -> None:
        """On the request's way, so that thinking waits for the tick."""
        if len(self._samples) < 2 * SAMPLES:
            self._samples.append((key, entry, seconds))

    def _take_in(self) -> None:
        samples, self._samples = self._samples, []
        sketch = self._reads.setdefault(self._nearest(), LatencySketch())
        for key, entry, seconds in samples:
            sketch.record(seconds)
            if entry is not None:
                self._sizes += entry.size
                self._sized += 1
                if _is_page(key, entry.value):
                    self.hottest.note(key)

    def _nearest(self) -> str:
        return self._runtime.settings.layers[0]

    async def _save(self) -> None:
        """One worker of a host writes for all: each has seen a sample of the same traffic."""
        if self.path is None or not self._runtime.leads or not len(self.hottest):
            return
        try:
            await asyncio.to_thread(write_file, self.path, self.hottest.top(KEPT))
        except OSError as error:
            log.warning("the hottest keys could not be kept in %s: %s", self.path, error)

    # ---- telling

    def infos(self) -> list[CacheLayerInfo]:
        """The layers of this process, with what was sampled of their reads."""
        infos = [*self._runtime.spaces.infos(), *self._runtime.cdn.infos()]
        return [self._completed(info) for info in infos]

    def _completed(self, info: CacheLayerInfo) -> CacheLayerInfo:
        sketch = self._reads.get(info.name)
        if sketch is not None and not sketch.untouched():
            info = replace(info, latency=latency_metrics(sketch))
        if info.hit_bytes is None and self._sized and info.name == self._nearest():
            info = replace(info, hit_bytes=info.hits * self._sizes // self._sized)
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
        readings = self._runtime.profiles.readings()
        asked = {name: one for name, one in readings.items() if one.count}
        whole = Reading()
        for reading in asked.values():
            whole.add(reading)
        caches = [one.caches for one in peers if one.caches is not None]
        infos = _by_name([*function_infos(), *(info for one in caches for info in one.functions)])
        functions = [_of_function(info) for info in infos]
        coalescer = self._runtime.coalescer
        return CacheStatistics(
            since=self.since,
            whole=_of_reading("namespace", "http", whole),
            layers=self.layers(peers),
            namespaces=[_of_reading("namespace", "http", whole), _together("functions", functions)],
            routes=[_of_reading("route", name, reading) for name, reading in asked.items()],
            functions=functions,
            coalesced=coalescer.joined + sum(one.coalesced for one in caches),
            timeouts=coalescer.timeouts + sum(one.timeouts for one in caches),
        )


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


def _of_reading(kind: Any, name: str, reading: Reading) -> CacheUse:
    traffic = reading.traffic
    return CacheUse(
        kind,
        name,
        hits=reading.hits,
        misses=reading.origin_calls,
        stale=traffic.stale,
        coalesced=traffic.collapsed,
        fills=traffic.fills,
        hit_bytes=traffic.hit_bytes,
        stored_bytes=traffic.stored_bytes,
        seconds_saved=traffic.saved - reading.hit_sketch.sum,
        latency=None if reading.hit_sketch.untouched() else latency_metrics(reading.hit_sketch),
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
    total = CacheUse("namespace", name)
    summed = [one.name for one in fields(CacheUse) if one.name not in ("kind", "name", "latency")]
    for use in uses:
        for field in summed:
            one, other = getattr(total, field), getattr(use, field)
            setattr(total, field, one if other is None else (one or 0) + other)
    return total
