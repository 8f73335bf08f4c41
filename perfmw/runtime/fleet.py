"""What all hosts counted: each leaves a report in a layer they share, and whoever looks adds them up.

A report is bounded, tells its format, and is gone some intervals after its host. One worker of a host writes
it, for all of them, at a slow pace; no request takes part. Nothing is read before somebody asks, and what
fails here is told as missing: the calls go past the layer's circuit breaker, so that a report that is late
never makes a request do without the cache.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final

import msgspec

from perfmw.cache.entries import Entry, decode_entry, encode_entry, from_text, to_text
from perfmw.cache.layers import COUNT_PREFIX, carries_text_only
from perfmw.contracts import CacheLayerInfo, PoolSample, ProcessHealth
from perfmw.profiles.packing import pack
from perfmw.profiles.reading import Reading
from perfmw.runtime.building import codec_of

if TYPE_CHECKING:
    from perfmw.cache.layers import FarLayer
    from perfmw.runtime.runtime import Runtime

log = logging.getLogger("perfmw.runtime")

FORMAT: Final = 1
ROUTES: Final = 100
"""Routes that a report keeps apart, those that took the most time; the others are told together."""
MOST_BYTES: Final = 128 * 1024
MOST_HOSTS: Final = 64
LIVES: Final = 3.5
"""Intervals after which a report is gone: a host may miss two turns."""
FRESH: Final = 2.0
_DEADLINE: Final = 2.0
_STEP: Final = 16
_ROLL: Final = f"{COUNT_PREFIX}fleet"
"""The key of the list of hosts: id -> when it last said so. One that was lost by a race adds itself again."""


class RouteReport(msgspec.Struct, array_like=True):
    """A route's requests a second and all it counted, as ``pack`` writes it."""

    name: str
    rate: float
    data: bytes


class Report(msgspec.Struct):
    """One host at unix time ``at``: what its workers counted since ``since``."""

    format: int
    id: str
    host: str
    at: float
    since: float
    version: str
    score: float | None
    workers: list[ProcessHealth]
    routes: list[RouteReport]
    rest: bytes
    layers: list[CacheLayerInfo]
    pools: list[PoolSample]
    limits: dict[str, Any]


class Fleet:
    """One runtime's part in it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.interval = runtime.settings.fleet_interval
        far = [layer for layer in runtime.cache.far_layers() if layer.name != "disk"]
        self.layer: FarLayer | None = far[-1] if far and self.interval > 0 else None
        self.id = secrets.token_hex(8)
        self.host = socket.gethostname()
        self.failures = 0
        self._known: dict[str, float] = {}
        self._told = False
        self._looking = asyncio.Lock()
        self._seen: tuple[list[Report], bool] | None = None
        self._seen_at = 0.0
        if self.layer is not None:
            self._text = carries_text_only(self.layer.name, self.layer.cache)
            self._codec = codec_of(runtime.settings, runtime.plugins)

    # ---- telling

    async def run(self) -> None:
        """Leave a report every ``interval`` seconds until cancelled, then take it back."""
        if self.layer is None:
            return
        try:
            while True:
                await asyncio.sleep(self.interval * (0.9 + 0.2 * secrets.randbelow(1000) / 1000))
                if self._runtime.leads:
                    await self.publish()
                elif self._told:
                    await self.withdraw()
        finally:
            await self.withdraw()

    async def publish(self) -> bool:
        """Leave a report now; whether the layer took it."""
        assert self.layer is not None
        data = self._coded(await self.report())
        kept = await self._call("set", _key(self.id), data, ttl=LIVES * self.interval)
        self._told = self._told or bool(kept)
        return bool(kept) and await self._sign(time.time())

    async def withdraw(self) -> None:
        """This host has nothing to tell any more."""
        if self._told:
            self._told = False
            await self._call("delete", _key(self.id))

    async def _sign(self, now: float) -> bool:
        roll = await self._roll(now)
        roll[self.id] = now
        newest = dict(nlargest(MOST_HOSTS, roll.items(), key=lambda one: one[1]))
        text = msgspec.json.encode(newest).decode()
        return bool(await self._call("set", _ROLL, text, ttl=LIVES * self.interval))

    async def _roll(self, now: float) -> dict[str, float]:
        """The hosts that said something lately, those remembered from an earlier look among them."""
        said = await self._call("get", _ROLL)
        try:
            roll = msgspec.json.decode(said or b"{}", type=dict[str, float])
        except (msgspec.DecodeError, TypeError):
            roll = {}
        oldest = now - LIVES * self.interval
        merged = {**self._known, **roll}
        self._known = {id: at for id, at in merged.items() if at > oldest and len(id) <= 64}
        return dict(self._known)

    async def report(self) -> Report:
        """This host as it is now."""
        runtime = self._runtime
        snapshot, score = runtime.snapshot(), runtime.rounds.score
        routes, rest = await self._routes(snapshot.profiles)
        return Report(
            format=FORMAT,
            id=self.id,
            host=self.host,
            at=snapshot.taken_at,
            since=snapshot.taken_at - snapshot.window_seconds,
            version=_version(),
            score=score.score if score is not None else None,
            workers=[replace(one, slow_callbacks=()) for one in snapshot.processes],
            routes=routes,
            rest=pack(rest),
            layers=list(snapshot.layers),
            pools=list(snapshot.host_pools),
            limits=dict(snapshot.host_limits),
        )

    async def _routes(self, profiles: Sequence[Any]) -> tuple[list[RouteReport], Reading]:
        ranked = sorted(
            (one for one in profiles if one.type == "component"),
            key=lambda one: -one.metrics.latency.mean * one.metrics.latency.count,
        )
        routes, rest = [], Reading()
        for number, one in enumerate(ranked):
            tracked = self._runtime.profiles.tracked(one.id)
            if tracked is None:
                continue
            reading = tracked.reading()
            if number < ROUTES:
                routes.append(RouteReport(one.name, one.metrics.throughput.recent_per_second, pack(reading)))
            else:
                rest.add(reading)
            if number % _STEP == _STEP - 1:
                await asyncio.sleep(0)  # requests go first
        return routes, rest

    # ---- reading

    async def recent(self) -> tuple[list[Report], bool]:
        """``reports`` of at most two seconds ago: many pages ask the layer no more often than one."""
        async with self._looking:
            if self._seen is None or time.monotonic() - self._seen_at >= FRESH:
                self._seen, self._seen_at = await self.reports(), time.monotonic()
            return self._seen

    async def reports(self) -> tuple[list[Report], bool]:
        """What each host says, this one's own first and as of now; and whether the layer could be asked."""
        own = await self.report()
        if self.layer is None:
            return [own], True
        failures = self.failures
        roll = await self._roll(time.time())
        others = [await self._read(id) for id in roll if id != self.id]
        found = [one for one in others if one is not None]
        return [own, *_apart(own, found)], self.failures == failures

    async def _read(self, id: str) -> Report | None:
        stored = await self._call("get", _key(id))
        data = from_text(stored) if self._text and stored is not None else stored
        if data is None:
            return None
        try:
            if self._codec is not None:
                data = self._codec.decode(data, self._context(id))
            entry = decode_entry(data)
            report = msgspec.msgpack.decode(entry.value, type=Report) if entry is not None else None
        except Exception as error:  # damaged, of another release, or sealed with another key
            log.debug("a report of the fleet cannot be read: %r", error)
            return None
        return report if report is not None and report.format == FORMAT else None

    # ---- the layer

    def _coded(self, report: Report) -> bytes | str:
        """As entries are stored: compressed and sealed where they are. Bounded by ``MOST_BYTES``."""
        data = msgspec.msgpack.encode(report)
        if len(data) > MOST_BYTES:  # names or limits of unusual length: the whole is told without them
            data = msgspec.msgpack.encode(_shortened(report))
        coded = encode_entry(Entry(data))
        if self._codec is not None:
            coded = self._codec.encode(coded, self._context(report.id) | {"expires_at": None})
        return to_text(coded) if self._text else coded

    def _context(self, id: str) -> dict[str, Any]:
        assert self.layer is not None
        return {"key": _key(id), "layer": self.layer.name}

    async def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """What the layer answers; None where it is skipped, fails or is late."""
        assert self.layer is not None
        if not self.layer.available:
            self.failures += 1
            return None
        try:
            async with asyncio.timeout(_DEADLINE):
                return await getattr(self.layer.cache, name)(*args, **kwargs)
        except Exception as error:  # whatever a backend raises
            self.failures += 1
            if self.failures == 1:
                log.warning("the fleet's reports cannot be exchanged through %r: %r", self.layer.name, error)
            return None


def _key(id: str) -> str:
    return f"{_ROLL}:{id}"


def _version() -> str:
    from perfmw import __version__

    return __version__


def _shortened(report: Report) -> Report:
    from perfmw.profiles.packing import unpack

    rest = unpack(report.rest)
    for route in report.routes:
        rest.add(unpack(route.data))
    return msgspec.structs.replace(report, routes=[], rest=pack(rest), limits={}, workers=report.workers[:64])


def _apart(own: Report, others: Iterable[Report]) -> list[Report]:
    """The other hosts: of two reports that tell of one worker, as after a change of who tells, the newer."""
    seen = set(_workers(own))
    apart = []
    for report in sorted(others, key=lambda one: -one.at):
        workers = _workers(report)
        if not seen.intersection(workers):
            seen.update(workers)
            apart.append(report)
    return sorted(apart, key=lambda one: (one.host, one.id))


def _workers(report: Report) -> list[tuple[str, int, float]]:
    return [(report.host, one.pid, one.started_at) for one in report.workers]
