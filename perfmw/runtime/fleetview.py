"""The reports of all hosts as one picture. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from perfmw.contracts import CacheLayerInfo
from perfmw.profiles.packing import unpack
from perfmw.profiles.reading import Reading
from perfmw.runtime.fleet import Report
from perfmw.runtime.workers import add_counts, merged_limits

Sees = Literal["process", "host", "fleet"]
OTHERS: Final = "all other routes"


@dataclass(frozen=True, slots=True)
class Total:
    """Requests of a route, or of all. Seconds; shares 0..1; ``rate`` in requests a second; p50 with hits."""

    name: str
    hosts: int
    count: int
    rate: float
    p50: float
    p95: float
    p99: float
    hits: int
    hit_rate: float | None
    errors: int
    error_rate: float
    total: float


@dataclass(frozen=True, slots=True)
class HostRow:
    """A host, by its report of unix time ``at``. ``cpu``: busy share; ``own``: the one that tells this."""

    host: str
    own: bool
    at: float
    since: float
    version: str
    workers: int
    requests: int
    rate: float
    p95: float
    hit_rate: float | None
    errors: int
    score: float | None
    cpu: float | None
    memory_bytes: int
    refused: int


@dataclass(frozen=True, slots=True)
class FleetView:
    """``sees``: whose numbers these are; ``complete``: False where the shared layer could not be asked."""

    sees: Sees
    complete: bool
    at: float
    workers: int
    whole: Total
    hosts: list[HostRow]
    routes: list[Total]
    cache_status: dict[str, int]
    layers: list[CacheLayerInfo]
    limits: dict[str, Any]


def fleet_view(reports: Sequence[Report], complete: bool, *, shared: bool) -> FleetView:
    """Add up the reports, of which the first is the own host's.

    :param shared: whether there is a layer by which hosts tell each other.
    """
    totals: dict[str, _Sum] = {}
    whole = _Sum()
    hosts = [_host_row(report, reports[0], _take_in(report, totals, whole)) for report in reports]
    routes = [one.total(name) for name, one in totals.items() if one.reading.count]
    workers = sum(len(report.workers) or 1 for report in reports)
    return FleetView(
        sees="fleet" if shared else "host" if workers > 1 else "process",
        complete=complete,
        at=reports[0].at,
        workers=workers,
        whole=whole.total("all routes"),
        hosts=hosts,
        routes=sorted(routes, key=lambda one: -one.total),
        cache_status=_status(whole.reading),
        layers=_layers(reports),
        limits=merged_limits([report.limits for report in reports]),
    )


class _Sum:
    def __init__(self) -> None:
        self.reading = Reading()
        self.rate = 0.0
        self.hosts = 0

    def add(self, reading: Reading, rate: float) -> None:
        self.reading.add(reading)
        self.rate += rate
        self.hosts += 1

    def total(self, name: str) -> Total:
        reading = self.reading
        p50, p95, p99 = reading.sketch.quantiles((0.5, 0.95, 0.99))
        return Total(
            name=name,
            hosts=self.hosts,
            count=reading.count,
            rate=self.rate,
            p50=p50,
            p95=p95,
            p99=p99,
            hits=reading.hits,
            hit_rate=reading.hit_rate,
            errors=reading.errors,
            error_rate=reading.error_rate,
            total=reading.seconds,
        )


def _take_in(report: Report, totals: dict[str, _Sum], whole: _Sum) -> _Sum:
    """Add a report to the routes and to the whole; the host's own sum."""
    own = _Sum()
    for name, rate, reading in _readings(report):
        totals.setdefault(name, _Sum()).add(reading, rate)
        own.reading.add(reading)
        own.rate += rate
    whole.add(own.reading, own.rate)
    return own


def _readings(report: Report) -> Iterable[tuple[str, float, Reading]]:
    """What is damaged is left out: it would have to be by another release."""
    for name, rate, data in [*((r.name, r.rate, r.data) for r in report.routes), (OTHERS, 0.0, report.rest)]:
        try:
            yield name, rate, unpack(data)
        except ValueError:
            continue


def _host_row(report: Report, first: Report, own: _Sum) -> HostRow:
    cpu = next((pool.utilization for pool in report.pools if pool.name == "cpu"), None)
    reading = own.reading
    return HostRow(
        host=report.host,
        own=report is first,
        at=report.at,
        since=report.since,
        version=report.version,
        workers=len(report.workers) or 1,
        requests=reading.count,
        rate=own.rate,
        p95=reading.sketch.quantile(0.95),
        hit_rate=reading.hit_rate,
        errors=reading.errors,
        score=report.score,
        cpu=cpu,
        memory_bytes=sum(one.memory_bytes or 0 for one in report.workers),
        refused=_refused(report.limits),
    )


def _refused(limits: Mapping[str, Any]) -> int:
    groups = sum(sum(group["refused"].values()) for group in limits.get("groups", ()))
    return int(groups + sum(quota["refused"] for quota in limits.get("quotas", ())))


def _status(reading: Reading) -> dict[str, int]:
    return {**reading.reasons, "hit": reading.hits}


def _layers(reports: Iterable[Report]) -> list[CacheLayerInfo]:
    """Counts of all; contents add up where each host has its own. Latencies of reads are not told."""
    found: dict[tuple[str, str], CacheLayerInfo] = {}
    for report in reports:
        for layer in report.layers:
            key = layer.namespace, layer.name
            if key in found:
                add_counts(found[key], layer, contents=layer.kind in ("memory", "perfmw-disk"))
                found[key].available = found[key].available and layer.available
            else:
                found[key] = replace(layer, latency=None)
    return list(found.values())
