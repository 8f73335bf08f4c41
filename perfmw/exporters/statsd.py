"""StatsD over UDP: what was counted since the last snapshot, and gauges, in packets that are not cut up."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from typing import Final

from perfmw.contracts.snapshot import RuntimeSnapshot
from perfmw.exporters.pushing import Pusher

PACKET: Final = 1_400
"""Bytes that fit into an Ethernet frame with the headers around them."""
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_\-]+")


class StatsdExporter:
    """Sends to ``host:port``. A packet that is lost is lost: counters go on with the next difference."""

    name = "statsd"

    def __init__(self, host: str = "127.0.0.1", port: int = 8125, prefix: str = "perfmw") -> None:
        self._address = (host, port)
        self._prefix = prefix
        self._told: dict[str, float] = {}
        self._pusher = Pusher(self.name, self._send)

    async def export(self, snapshot: RuntimeSnapshot) -> None:
        await self._pusher.push(snapshot)

    def _send(self, snapshot: RuntimeSnapshot) -> None:
        family, kind, number, _, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, number) as door:
            for packet in packets(self.lines(snapshot)):
                door.sendto(packet, address)

    def lines(self, snapshot: RuntimeSnapshot) -> Iterator[str]:
        """One line a figure; counters are what came since the last call."""
        for profile in snapshot.profiles:
            path = f"{profile.type}.{safe(profile.name)}"
            metrics = profile.metrics
            yield from self._counter(f"{path}.requests", metrics.throughput.count)
            yield from self._counter(f"{path}.hits", metrics.throughput.hits)
            rates = metrics.error_rates
            yield from self._counter(f"{path}.errors", rates.server_errors + rates.exceptions)
            for name in ("mean", "p50", "p95", "p99"):
                yield self._gauge(f"{path}.{name}_ms", getattr(metrics.latency, name) * 1e3)
        for layer in snapshot.layers:
            yield from self._counter(f"cache.{safe(layer.name)}.hits", layer.hits)
            yield from self._counter(f"cache.{safe(layer.name)}.misses", layer.misses)
        for pool in snapshot.pools:
            if pool.utilization is not None:
                yield self._gauge(f"pool.{safe(pool.name)}.utilization", pool.utilization)

    def _counter(self, name: str, total: float) -> Iterator[str]:
        before = self._told.get(name, 0.0)
        self._told[name] = total
        # A total that went down began anew.
        grown = total - before if total >= before else total
        if grown:
            yield f"{self._prefix}.{name}:{grown:g}|c"

    def _gauge(self, name: str, value: float) -> str:
        return f"{self._prefix}.{name}:{value:g}|g"

    async def aclose(self) -> None:
        self._pusher.close()


def safe(name: str) -> str:
    """A name without what separates in StatsD and Graphite: ``GET /items/{id}`` -> ``GET_items_id``."""
    return _UNSAFE.sub("_", name).strip("_") or "_"


def packets(lines: Iterable[str], size: int = PACKET) -> Iterator[bytes]:
    """Lines joined to packets of at most ``size`` bytes; a longer line is a packet of its own."""
    held = b""
    for line in lines:
        data = line.encode()
        if held and len(held) + 1 + len(data) > size:
            yield held
            held = b""
        held = held + b"\n" + data if held else data
    if held:
        yield held
