"""Monitoring, joined: from the profiles' windows to findings, incidents, and those who are told."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final

from perfmw.contracts import (
    Alert,
    AppliedOptimization,
    ErrorRateMetrics,
    LatencyMetrics,
    OptimizationOpportunity,
    PerformanceProfile,
    PerformanceState,
    ProfileMetadata,
    ProfileMetrics,
    ProfileMonitoring,
    ProfileOptimizations,
    ThroughputMetrics,
)
from perfmw.monitoring.alerts import AlertManager
from perfmw.monitoring.channels import windows_of
from perfmw.monitoring.degradation import Finding, Tolerances, degradations
from perfmw.monitoring.outbox import ChannelInfo, Outbox
from perfmw.monitoring.series import Bucket, SeriesWatch, describe
from perfmw.monitoring.silences import Quiet, Silence
from perfmw.monitoring.slo import burning
from perfmw.monitoring.store import MonitoringStore
from perfmw.monitoring.timeline import Annotation, Timeline
from perfmw.profiles.metrics import error_metrics, latency_metrics
from perfmw.runtime.reporting import Reports

if TYPE_CHECKING:
    from perfmw.profiles.tracked import Tracked
    from perfmw.runtime.runtime import Runtime

log = logging.getLogger("perfmw.alerts")

MINUTE: Final = 60.0
RECENT: Final = 300.0
"""Seconds that thresholds and comparisons with the baseline look back on."""
SAVE_SECONDS: Final = 300.0
FLUSH_SECONDS: Final = 3.0
"""At the end, for channels that answer; what is not told by then is kept for the next start."""
_SHORT_FLUSH_SECONDS: Final = 0.5
LONGEST_SILENCE: Final = 366 * 86_400.0
MOST_SILENCES: Final = 1_000
_EMPTY_MINUTES: Final = 10
_LEARNED: Final = Tolerances(latency_ratio=2.0, throughput_ratio=0.0)
"""Against a baseline of the first minute; smaller changes, and traffic, are for the series to find."""
_PROCESS: Final = replace(_LEARNED, latency_floor=0.05)
"""Of how late the event loop comes: some milliseconds, which neighbours on the machine do, hurt nobody."""
_SHARED: Final = ("query", "integration", "system")


class Watching:
    """What a runtime notices, remembers and tells. Everything is bounded; only ``start`` does I/O.

    Of several workers with one ``state_dir`` all look, and the one that leads tells.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._settings = settings = runtime.settings.monitoring
        self.timeline = Timeline()
        self.series = SeriesWatch(settings.profiles)
        self.manager = AlertManager(resolve_after=6, context=self._context)
        self._windows = windows_of(settings.maintenance)
        self._silences: dict[str, Silence] = {}
        self._silencing = asyncio.Lock()  # so that none is read while one is made or ended
        self._slo: list[Finding] = []
        self._found: dict[str, tuple[float, list[Finding]]] = {}
        self._calm: dict[str, int] = {}
        self._minute_at = self._saved_at = 0.0
        self._store: MonitoringStore | None = None
        self._boxes = [self._new_box(channel) for channel in runtime.plugins.alert_channels.values()]
        self._tasks: list[asyncio.Task[Any]] = []
        self._keeping: set[asyncio.Task[Any]] = set()
        self._restored = False
        self.reports = Reports(runtime)
        runtime.spaces.on_invalidate(self._purged)
        runtime.listen(self._on_event)

    def _new_box(self, channel: Any) -> Outbox:
        chosen = self._settings.channels.get(channel.name)
        least = chosen.severity if chosen is not None else "low"
        return Outbox(channel, least=least, leads=lambda: self._runtime.leads)

    # ---- starting and stopping

    async def start(self) -> None:
        """Remember what was before, and begin to tell."""
        self._store = await asyncio.to_thread(MonitoringStore, self._runtime.settings.state_dir)
        for box in self._boxes:
            box.keeps = self._store
        await self._reload()
        if not self._restored:
            self._restored = True
            await self._restore()
        self._run_boxes()
        await self._note_start()
        if self.reports.schedule is not None:
            self._tasks.append(self._runtime.spawn(self.reports.run(), name="perfmw-reports"))

    def _run_boxes(self) -> None:
        self._tasks = [
            self._runtime.spawn(box.run(), name=f"perfmw-alert-{box.channel.name}") for box in self._boxes
        ]

    async def _restore(self) -> None:
        store = self._store
        if store is None:
            return  # stopped in the meantime
        kinds: dict[str, Callable[[Any], None]] = {
            "series": self.series.restore,
            "alerts": self.manager.restore,
            "rates": self._runtime.rounds.scaling.restore,
        }
        for name, restore in kinds.items():
            state = await asyncio.to_thread(store.kept, name)
            if state is None:
                continue
            try:
                if name == "rates":
                    await asyncio.to_thread(restore, state)  # it learns
                else:
                    restore(state)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                log.warning("what monitoring kept of its %s is not used: %r", name, error)

    async def _note_start(self) -> None:
        """That the process started, and which settings are others than the last time."""
        store, runtime = self._store, self._runtime
        if store is None:
            return  # stopped in the meantime
        now = {
            name: hashlib.sha256(repr(value).encode()).hexdigest()[:16]
            for name, value in runtime.settings.to_dict(redact=False).items()
        }
        before = await asyncio.to_thread(store.kept, "settings")
        if isinstance(before, dict) and (changed := sorted(k for k in now if before.get(k) != now[k])):
            self.annotate("config", f"changed: {', '.join(changed)}")
        if before != now:
            await asyncio.to_thread(store.keep, "settings", now)
        self.annotate("start", "the process started", at=runtime.profiles.started_at)

    async def stop(self) -> None:
        """Tell what waits, for some seconds at most, keep the rest, and close the channels."""
        if self._store is None:
            return
        times = [FLUSH_SECONDS if box.healthy else _SHORT_FLUSH_SECONDS for box in self._boxes]
        await asyncio.gather(*(box.flush(seconds) for box, seconds in zip(self._boxes, times, strict=True)))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._keeping, return_exceptions=True)
        for box in self._boxes:
            await box.close()
        if self._runtime.leads:
            await self._save()
        store, self._store = self._store, None
        await asyncio.to_thread(store.close)

    async def _save(self) -> None:
        if self._store is not None:
            await asyncio.to_thread(self._store.keep, "series", self.series.state())
            rates = list(self._runtime.rounds.scaling.rates.means)
            await asyncio.to_thread(self._store.keep, "rates", rates)
            await self._save_alerts()

    async def _save_alerts(self) -> None:
        if self._store is not None and self._runtime.leads:
            await asyncio.to_thread(self._store.keep, "alerts", self.manager.state())

    async def _reload(self) -> None:
        """Silences and annotations that other workers were told of."""
        store = self._store
        if store is None or not await asyncio.to_thread(store.changed):
            return
        async with self._silencing:
            silences = await asyncio.to_thread(store.silences, time.time())
            self._silences = {one.id: one for one in silences}
        kept = await asyncio.to_thread(store.annotations)
        known = {(one.at, one.kind, one.text) for one in kept}
        # purges are not kept, and what was noted a moment ago may still be on its way
        own = [one for one in self.timeline.items() if (one.at, one.kind, one.text) not in known]
        self.timeline.replace([*kept, *own])

    # ---- a round

    def steps(self, now: float) -> Iterator[None]:
        """Look at everything once, in steps of a fraction of a millisecond or so."""
        if now - self._minute_at >= MINUTE:
            self._minute_at = now
            yield from self._minute(now)
        findings = [
            *filter(_felt, self.series.findings()),
            *self._slo,
            *self._runtime.rounds.guard.findings(now),
        ]
        for tracked in self._watched():
            findings += self._degradations(tracked, now)
            yield
        quiet = Quiet(list(self._silences.values()), self._windows)
        for alert in self.manager.update(findings, now, quiet=quiet):
            self._tell(alert)
        self._background(now)

    def _background(self, now: float) -> None:
        if self._store is None:
            return
        if self._runtime.settings.state_dir is not None:
            self._runtime.spawn(self._reload(), name="perfmw-monitoring-reload")
        if now - self._saved_at >= SAVE_SECONDS:
            if self._saved_at and self._runtime.leads:
                self._runtime.spawn(self._save(), name="perfmw-monitoring-save")
            self._saved_at = now

    def _watched(self) -> list[Tracked]:
        """The busiest profiles, and those whose thresholds somebody chose."""
        known = self._runtime.profiles.everything()
        busiest = nlargest(self._settings.profiles, known, key=lambda one: one.heat + one.recent_count)
        chosen = [one for one in known if one.chosen and one not in busiest]
        return [*busiest, *chosen[: self._settings.profiles]]

    def _minute(self, now: float) -> Iterator[None]:
        slo: list[Finding] = []
        for tracked in self._watched():
            if not tracked.config.monitoring_enabled:
                continue
            self._feed(tracked, now)
            slo += self._burning(tracked, now)
            yield
        self._slo = slo

    def _feed(self, tracked: Tracked, now: float) -> None:
        name, kind = tracked.recorder.name, tracked.recorder.type
        slots = tracked.windows.minutes()
        for slot in slots:
            until = self.series.until(tracked.id)
            if until is not None and slot.end <= until + 1.0:
                continue
            begin = slot.start if until is None else until
            if slot.end - begin > 1.5 * max(MINUTE, slot.end - slot.start):
                self._empty(tracked, begin, slot.start)
                begin = slot.start
            tally = slot.tally
            bucket = Bucket(begin, slot.end - begin, tally.count, tally.errors, tally.seconds)
            self.series.update(tracked.id, name, kind, bucket)
        until = self.series.until(tracked.id)
        if until is not None and now - until >= 2.5 * MINUTE:
            self._empty(tracked, until, now - 1.5 * MINUTE)

    def _empty(self, tracked: Tracked, begin: float, end: float) -> None:
        """Minutes without a request are a figure too."""
        count = min(_EMPTY_MINUTES, int((end - begin) / MINUTE))
        for number in range(count):
            bucket = Bucket(end - (count - number) * MINUTE, MINUTE, 0, 0, 0.0)
            self.series.update(tracked.id, tracked.recorder.name, tracked.recorder.type, bucket)

    def _burning(self, tracked: Tracked, now: float) -> list[Finding]:
        if tracked.recorder.type == "system":
            return []
        settings, age = self._settings, now - tracked.created_at
        found = []
        for what, objective in (
            ("availability", settings.slo_availability),
            ("latency", settings.slo_latency),
        ):
            if objective is not None:
                counted = partial(_counted, tracked, what, now)
                found.append(burning(tracked.id, tracked.recorder.name, objective, counted, age, what=what))
        return [one for one in found if one is not None]

    def _degradations(self, tracked: Tracked, now: float) -> list[Finding]:
        """At the pace of the profile: what was found last stands until it is looked at again."""
        due, found = self._found.get(tracked.id, (0.0, []))
        if now < due or self._calm.get(tracked.id) == tracked.windows.stamp:
            return found
        profile = self.recent(tracked, now)
        baseline = profile.performance.baseline
        by_itself = baseline is not None and baseline.source == "learned"
        learned = _PROCESS if tracked.recorder.type == "system" else _LEARNED
        limits = learned if by_itself else None
        found = degradations(profile, limits) if profile.monitoring.enabled else []
        if tracked.chosen:
            self._found[tracked.id] = now + profile.monitoring.frequency - 1.0, found
        elif by_itself and not found:  # without another request nothing gets worse than it was
            self._calm[tracked.id] = tracked.windows.stamp
        for kept in (self._found, self._calm):
            if len(kept) > 4 * self._settings.profiles:
                kept.clear()
        return found

    def recent(self, tracked: Tracked, now: float) -> PerformanceProfile:
        """A profile whose metrics are those of the last minutes; quantiles where thresholds ask for them."""
        config = tracked.config
        profile = PerformanceProfile(
            id=tracked.id,
            name=tracked.recorder.name,
            type=tracked.recorder.type,
            metrics=ProfileMetrics(),
            performance=PerformanceState(baseline=tracked.baseline, targets=tracked.targets),
            optimizations=ProfileOptimizations(),
            monitoring=ProfileMonitoring(
                config.monitoring_enabled,
                config.monitoring_frequency,
                list(config.alert_thresholds),
                config.reporting_schedule,
            ),
            metadata=ProfileMetadata(tracked.created_at, now),
        )
        profile = self._runtime.engine.configured(profile)
        return replace(
            profile, metrics=_metrics(tracked, now, full=bool(profile.monitoring.alert_thresholds))
        )

    # ---- telling

    def _tell(self, alert: Alert) -> None:
        runtime = self._runtime
        runtime.tell("alert", alert)
        if not runtime.leads:
            return
        runtime.plugins.fire("perfmw_alert", alert=alert)
        for box in self._boxes:
            box.offer(alert)
        if self._store is not None:
            runtime.spawn(self._save_alerts(), name="perfmw-monitoring-save")
        elif not self._tasks:  # ticked without having been started
            with contextlib.suppress(RuntimeError):
                self._run_boxes()

    def _context(self, since: float, targets: Collection[str]) -> Mapping[str, Any]:
        """What moved with an incident, and what probably caused it."""
        done = self.timeline.around(since)
        moved = self.series.moved(since, but=targets)[:5]
        rows = [_row(one, since) for one in done]
        rows += [
            {"kind": "profile", "text": describe(one), "at": one.since, "offset": one.since - since}
            for one in moved
        ]
        return {"moved_with": rows, "cause": self._cause(done, since, targets)}

    def _cause(self, done: Sequence[Annotation], since: float, targets: Collection[str]) -> str | None:
        parts = [_after(done[0], since)] if done else []
        if len(targets) > 1:
            shared = [one for one in targets if self.series.type_of(one) in _SHARED]
            parts += [f"{shared[0]} is what they may have in common"] if shared else []
        return "; ".join(parts) or None

    # ---- what is done to the system

    def annotate(self, kind: str, text: str, at: float | None = None, who: str = "") -> Annotation:
        """Note what was done, such as a deploy; ``at`` in unix seconds, now by default."""
        if not kind.strip() or not text.strip():
            raise ValueError("kind and text must not be empty")
        annotation = self.timeline.add(Annotation(time.time() if at is None else at, kind, text, who))
        if self._store is not None:
            keep = asyncio.to_thread(self._store.annotate, annotation)
            task = self._runtime.spawn(keep, name="perfmw-annotation")
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)
        return annotation

    def _purged(self, keys: Collection[str], tags: Collection[str], prefix: str | None, soft: bool) -> None:
        named = [*(f"tag {tag}" for tag in list(tags)[:3]), *([f"prefix {prefix}"] if prefix else [])]
        text = ", ".join(named) or (f"{len(keys)} keys" if len(keys) != 1 else "1 key")
        self.timeline.join(Annotation(time.time(), "purge", text))

    def _on_event(self, name: str, detail: object) -> None:
        if name == "applied" and isinstance(detail, AppliedOptimization):
            self.annotate("optimization", f"{detail.type} applied to {detail.target}")
        elif name == "reverted" and isinstance(detail, OptimizationOpportunity):
            self.annotate("optimization", f"{detail.type} of {detail.target} reverted")

    # ---- silences

    def silences(self) -> list[Silence]:
        """Those that are not over, the one that ends first at the head."""
        now = time.time()
        self._silences = {key: one for key, one in self._silences.items() if one.until > now}
        return sorted(self._silences.values(), key=lambda one: one.until)

    async def silence(
        self, pattern: str, until: float, *, starts: float | None = None, why: str = "", by: str = ""
    ) -> Silence:
        """Tell nobody of what ``pattern`` matches, from ``starts`` (now) until ``until``, unix seconds.

        :raises ValueError: it ends before it begins or after a year, or there are a thousand already.
        """
        now = time.time()
        starts = now if starts is None else starts
        if not pattern.strip() or not starts < until <= now + LONGEST_SILENCE or until <= now:
            raise ValueError("a silence needs a pattern and an end after its beginning, within a year")
        if len(self.silences()) >= MOST_SILENCES:
            raise ValueError(f"there are {MOST_SILENCES} silences already")
        made = Silence(secrets.token_hex(6), pattern[:500], until, starts, why[:500], by[:100])
        async with self._silencing:
            self._silences[made.id] = made
            if self._store is not None:
                await asyncio.to_thread(self._store.silence, made)
        return made

    async def unsilence(self, silence_id: str) -> bool:
        """End a silence; False if there is none of that id."""
        async with self._silencing:
            known = self._silences.pop(silence_id, None) is not None
            if self._store is not None:
                known = await asyncio.to_thread(self._store.unsilence, silence_id) or known
        return known

    def resolve(self, key: str) -> None:
        """Close an incident by hand; it is raised again if what it tells of is still there.

        :raises KeyError: no incident of that key is open.
        """
        resolved = self.manager.resolve(key, time.time())
        if resolved is not None:
            self._tell(resolved)

    # ---- looking

    def alerts(self) -> list[Alert]:
        """Recent alerts, those that are open last."""
        return self.manager.recent()

    def channels(self) -> list[ChannelInfo]:
        """Who is told, and how well it goes."""
        return [box.info() for box in self._boxes]

    @property
    def maintenance(self) -> bool:
        """Whether it is time for maintenance."""
        return any(window.covers(time.time()) for window in self._windows)


def _felt(found: Finding) -> bool:
    """Whether it matters beside requests: of the process how late its loop is, not how often looked."""
    told = found.details
    if told.get("profile_type") != "system":
        return True
    later: float = told["value"] - told["limit"]
    return told["figure"] == "latency" and later >= _PROCESS.latency_floor


def _counted(tracked: Tracked, what: str, now: float, seconds: float) -> tuple[int, int]:
    tally = tracked.tally(seconds, now)
    return tally.count, tally.errors if what == "availability" else tally.count - tally.satisfied


def _metrics(tracked: Tracked, now: float, *, full: bool) -> ProfileMetrics:
    seconds = min(RECENT, max(now - tracked.created_at, 1.0))
    if full:
        reading = tracked.window(RECENT, now)
        count, hits = reading.count, reading.hits
        latency, errors = latency_metrics(reading.sketch), error_metrics(reading)
    else:
        tally = tracked.tally(RECENT, now)
        count, hits = tally.count, tally.hits
        mean = tally.seconds / (count - tally.errors) if count > tally.errors else 0.0
        rate = tally.errors / count if count else 0.0
        latency, errors = LatencyMetrics(count=count, mean=mean), ErrorRateMetrics(rate, tally.errors)
    hit_rate = hits / count if count else None
    throughput = ThroughputMetrics(count, count / seconds, count / seconds, hits, hit_rate)
    return ProfileMetrics(latency=latency, throughput=throughput, error_rates=errors)


def _row(one: Annotation, since: float) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "text": f"{_after(one, since)}",
        "at": one.at,
        "offset": one.at - since,
        "who": one.who,
    }


def _after(one: Annotation, since: float) -> str:
    offset = since - one.at
    many = f" ({one.count} of them)" if one.count > 1 else ""
    when = f"{_span(offset)} after" if offset >= 0 else "at about the time of"
    return f"{when} {one.kind}: {one.text}{many}"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
