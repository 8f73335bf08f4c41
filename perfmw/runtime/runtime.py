"""The composition root: settings and plugins become one running whole, started and stopped as one."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextvars import ContextVar
from functools import cache, cached_property, partial
from importlib import import_module
from types import CodeType
from typing import TYPE_CHECKING, Any, ClassVar

from perfmw import defaults
from perfmw.cache import Coalescer, register
from perfmw.cache.scope import Scope, set_provider
from perfmw.cache.tagging import collect, collecting
from perfmw.contracts import (
    Alert,
    CacheManager,
    DashboardPanel,
    OptimizationRequest,
    Overview,
    Purged,
    RouteObservation,
    RuntimeSnapshot,
)
from perfmw.http.messages import StoredResponse
from perfmw.http.packed import Packed
from perfmw.http.policy import Policy
from perfmw.http.rules import RuleBook
from perfmw.http.variants import VariantIndex
from perfmw.plugins import Plugins
from perfmw.profiles import ProfileStore, profile_id
from perfmw.profiles.distributions import by_outcome, by_status
from perfmw.profiles.health import LoopMonitor
from perfmw.profiles.meeting import archive_path
from perfmw.runtime.building import close_exporter, limits_of
from perfmw.runtime.controls import controls_of, rule_row
from perfmw.runtime.flames import HostFlames, Watching
from perfmw.runtime.later import Later
from perfmw.runtime.learning import Learning
from perfmw.runtime.purging import CdnPurges, purge
from perfmw.runtime.spaces import responses_of, spaces_of
from perfmw.runtime.spans import RuntimeSpans
from perfmw.runtime.words import Words
from perfmw.runtime.workers import heard, limited, merged_limits, said_by
from perfmw.settings import Settings

if TYPE_CHECKING:
    from perfmw.optimization import Ledger, LedgerEntry, PerformanceOptimizationEngine
    from perfmw.profiles.flame import Flame
    from perfmw.profiles.management import ProfileManager
    from perfmw.profiles.sharing import Sharing
    from perfmw.profiles.traces import Exemplar
    from perfmw.profiles.tracing import RequestTracing
    from perfmw.runtime.caching import CacheWatch
    from perfmw.runtime.optimizing import Optimizing
    from perfmw.runtime.rounds import Rounds
    from perfmw.runtime.warming.background import Asker, WarmUp

log = logging.getLogger("perfmw.runtime")

_current: ContextVar[Runtime | None] = ContextVar("perfmw_runtime", default=None)

# what leaves the process in layers beyond memory
register("http.response", StoredResponse)
register("http.packed", Packed)
register("http.variants", VariantIndex)


class Runtime:
    """Everything perfmw runs in one process for one app. Building it starts nothing.

    ``start`` and ``stop`` are idempotent; ``start`` belongs to the event loop it is called in. No task
    outlives ``stop``.

    :raises SettingsError: for a layer or policy that nobody registered.
    """

    serving: ClassVar[tuple[CodeType, ...]] = ()
    """The code whose presence in a task means a request under way; the middleware says which."""
    _process: ClassVar[weakref.ref[Runtime] | None] = None

    def __init__(self, settings: Settings | None = None, plugins: Iterable[object] = ()) -> None:
        self.settings = settings = settings or Settings()
        self.plugins = Plugins(settings, plugins, defaults=defaults)
        self.coalescer = Coalescer()
        self.spaces = spaces_of(settings, self.plugins, self.coalescer)
        self.cache = self.spaces.shared
        """What everything shares that has no namespace with a cache of its own."""
        self.responses = responses_of(self.spaces)
        self.limits = limits_of(settings, self.plugins, self.cache.far_layers())
        self.cdn = CdnPurges(self.plugins.purgers.values(), settings)
        if self.cdn:
            self.spaces.on_invalidate(self.cdn.told)
        self.rules = RuleBook(settings.cache_rules)
        self.policy = Policy.from_settings(settings, self.rules)
        self.profiles = ProfileStore(max_profiles=settings.max_profiles, apdex_t=settings.apdex_t)
        self.exporters = self.plugins.exporters
        if any(getattr(exporter, "wants_details", False) for exporter in self.exporters.values()):
            self.profiles.keep_details()
        self.sharing = self._new_sharing()
        """Profiles that survive a restart, and that the workers of this host have in common."""
        self.loop = LoopMonitor(serving=self.serving)
        self.spans = RuntimeSpans(self)
        self.words = Words()
        """What this worker and the others of the host say to each other."""
        self.flames = HostFlames(self, lambda: len(self.sharing.peers) if self.sharing is not None else 0)
        self.words.about_each("flames", Watching, self.flames.said, self.flames.take_over)
        self.tracing: RequestTracing | None = self.spans.new_tracing() if settings.trace_ratio else None
        """Set where somebody wants spans; without it no request pays for the thought."""
        self.learning = Learning(self)
        self.workload = self.learning.workload
        self.controls = controls_of(self)
        self.panels: list[DashboardPanel] = list(self.plugins.panels.values())
        self.explainer: Callable[..., Awaitable[dict[str, Any]]] | None = None
        """Set by the middleware, which knows the app."""
        self.asker: Callable[[], Asker] | None = None
        """Set by the middleware too: makes what a warm-up asks with."""
        self.started = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Callable[[str, object], None]] = []
        if Runtime._process is None or Runtime._process() is None:
            Runtime._process = weakref.ref(self)

    # ---- which runtime

    @classmethod
    def current(cls) -> Runtime:
        """The runtime of the request being served, else the process's, which is made when there is none."""
        collector = collecting()
        runtime: Runtime | None = collector.runtime if collector is not None else _current.get()
        if runtime is None and cls._process is not None:
            runtime = cls._process()
        if runtime is None:
            runtime = cls()
            _keep_alive.append(runtime)
        return runtime

    def enter(self) -> None:
        """Make this the running context's runtime. Done at every entry, since servers reuse contexts."""
        collect(None)
        _current.set(self)

    # ---- starting and stopping

    async def start(self) -> None:
        """Start the background work in this event loop; in another loop than before, start anew."""
        loop = asyncio.get_running_loop()
        if self.started and self._loop is loop:
            return
        self._tasks.clear()  # a closed loop has cancelled what ran in it
        self.started, self._loop = True, loop
        self.spaces.live_on(loop)
        if self.settings.state_dir is not None:
            self.optimizing.start()
        self.spans.watch()
        if self.sharing is not None and await self.sharing.start():
            self.spawn(self.sharing.run(), name="perfmw-sharing")
        self.loop.start()
        for queue in self.cdn.queues:
            self.spawn(queue.run(), name=f"perfmw-cdn-{queue.purger.name}")
        if not self.spaces.all_memory:
            self.spawn(self.spaces.follow(self.settings.sync_interval), name="perfmw-sync")
        self.spawn(self._work(), name="perfmw-rounds")
        self.plugins.fire("perfmw_startup", runtime=self)

    async def stop(self) -> None:
        """Stop every task this runtime owns, and close the cache's layers and the exporters."""
        if not self.started:
            return
        self.started = False
        self.plugins.fire("perfmw_shutdown", runtime=self)
        self.spans.stop()
        self.loop.stop()
        await self.cdn.flush()
        if "rounds" in vars(self):
            await self.rounds.watching.stop()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.sharing is not None:
            await self.sharing.close()
        for exporter in self.exporters.values():
            await close_exporter(exporter)
        if "caching" in vars(self):
            await self.caching.close()
        await self.cdn.close()
        await self.spaces.close()
        if Runtime._process is not None and Runtime._process() is self:
            Runtime._process = None

    async def _work(self) -> None:
        """The rounds. What only they need is imported in a thread, so that no request waits for it."""
        await asyncio.to_thread(_import_what_comes_later)
        await self.caching.start()
        await self.rounds.run()

    def watch_process(self) -> None:
        """The process is a target too: its latency is how late its event loop comes."""
        if self.loop.record is not None:
            return
        recorder = self.profiles.recorder("process", "system")
        tracked = self.profiles.tracked(profile_id("system", "process"))
        if tracked is not None:
            tracked.more().usage = self.rounds.resource_usage
        self.loop.record = recorder.done

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run ``work`` in the background: an exception is logged, ``stop`` cancels it."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task %s failed: %s", task.get_name(), error, exc_info=error)

    def tick(self, now: float) -> None:
        """One round of sampling and checking at unix time ``now``; the runtime's timer calls it."""
        self.rounds.tick(now)

    # ---- invalidating

    async def invalidate(
        self,
        *,
        keys: Iterable[str] = (),
        tags: Iterable[str] = (),
        prefix: str | None = None,
        url: str | None = None,
        route: str | None = None,
        soft: bool = False,
        dry_run: bool = False,
    ) -> Purged:
        """Make what is cached invalid, in every namespace and layer, and at the CDN if there is one.

        It holds in this process and for whoever reads a shared layer when this returns; other processes that
        share one forget what they hold in memory within ``sync_interval``.

        :param keys: full keys, as the dashboard and ``perfmw cache ls`` show them.
        :param prefix: every key that begins so; a URL prefix stands for the responses under it.
        :param url: an absolute URL: every stored response of it.
        :param route: a route by its profile's name, such as ``GET /items/{id}``.
        :param soft: make it stale instead: it may be served while it is revalidated, or where the app fails.
        :param dry_run: touch nothing, and count for each layer what would be concerned.
        :return: entries removed at once; those under tags and routes go when next asked for, uncounted.
        :raises ValueError: for a URL that is not absolute.
        """
        return await purge(self, keys, tags, prefix, url, route, soft, dry_run)

    def space(self, name: str) -> Scope:
        """The scope of a namespace; this runtime itself where it has no cache of its own."""
        return self.spaces.find(name) or self

    def cache_managers(self) -> list[CacheManager]:
        """The cache that all share and those of namespaces, as they run: layers, limits, figures."""
        from perfmw.runtime.spaces import managers_of

        return managers_of(self)

    # ---- optimizing

    def start_optimization(
        self, request: OptimizationRequest | None = None, profile_id: str | None = None
    ) -> dict[str, Any]:
        """Begin an optimization run in the background; its state.

        :raises RuntimeError: the host has one under way, or the setting ``optimizations_enabled`` is false.
        :raises KeyError: for an unknown profile.
        """
        return self.optimizing.runs.start(request, profile_id)

    def optimization_state(self) -> dict[str, Any]:
        """Idle or running on this host, the step and blocks of the run, and the last result; JSON values."""
        return self.optimizing.runs.state()

    def cancel_optimization(self) -> bool:
        """Stop the host's run under way and revert its change; False when there is none."""
        return self.optimizing.runs.cancel()

    async def rollback(self, entry_id: int) -> LedgerEntry:
        """Undo the change a ledger entry is about.

        :raises KeyError: for an unknown entry.
        """
        return self.engine.rollback(entry_id)

    # ---- looking

    async def explain(
        self, url: str, *, method: str = "GET", headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> dict[str, Any]:
        """Ask the app for an absolute URL once, store nothing, and say what the cache makes of it and why.

        :raises RuntimeError: no middleware uses this runtime.
        :raises ValueError: the URL is not absolute, or the method is not GET or HEAD.
        :raises TimeoutError: the app did not begin to answer in time.
        """
        if self.explainer is None:
            raise RuntimeError("there is no app: no PerfMiddleware uses this runtime")
        explained: dict[str, Any] = await self.explainer(url, method=method, headers=headers)
        return explained

    @property
    def alerts(self) -> list[Alert]:
        """Recent alerts, those that are open last."""
        return self.rounds.watching.alerts()

    def annotate(self, kind: str, text: str, at: float | None = None) -> None:
        """Note what was done, such as a deploy, at unix time ``at``: alerts name what came before them."""
        self.rounds.watching.annotate(kind, text, at)

    def listen(self, listener: Callable[[str, object], None]) -> Callable[[], None]:
        """Be told of the engine's events and of ``alert``, until the answer is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def snapshot(self) -> RuntimeSnapshot:
        """Everything known at this moment, for exporters, optimizers and the dashboard."""
        peers = heard(self.sharing.peers.values()) if self.sharing is not None else []
        return RuntimeSnapshot(
            taken_at=time.time(),
            window_seconds=time.time() - self.profiles.started_at,
            profiles=[self.engine.configured(profile) for profile in self.profiles.snapshot()],
            routes=Later(self._observations),
            layers=self.caching.layers(peers),
            pools=self.rounds.pools,
            busiest_pools=self.rounds.busiest_pools,
            cache_rules=[rule_row(rule) for rule in self.rules],
            cache_status=self.profiles.status_counts(),
            processes=[self.rounds.process(), *(said.process for said in peers)],
            distributions=partial(by_status, self.profiles, self._exemplars()),
            merged=partial(by_outcome, self.profiles, self._exemplars()),
            options=self.controls.options(),
            caching=cache(partial(self.caching.statistics, peers)),
            limits=limited(self),
            host_limits=merged_limits([limited(self), *(said.limits for said in peers)]),
            host_pools=self.rounds.host_pools,
            prefetches=self.learning.prefetches(),
            waste=self.learning.waste(),
            managers=self.cache_managers,
            forecast=self.rounds.scaling.state(),
            optimizations=self.optimizing.opportunities.whole(),
        )

    def _exemplars(self) -> Callable[[str], list[Exemplar]] | None:
        return self.tracing.traces.exemplars if self.tracing is not None else None

    @property
    def leads(self) -> bool:
        """Whether it is for this worker to tell what all of the host have counted."""
        return self.sharing is None or self.sharing.leads

    def overview(self) -> Overview:
        """The dashboard's four figures."""
        return self.rounds.overview()

    def status_counts(self) -> dict[str, int]:
        """How often each outcome was given since the start: ``hit``, and the reasons for forwarding."""
        return self.profiles.status_counts()

    def _observations(self) -> list[RouteObservation]:
        observed = {item.route: item for item in self.workload.observations(now=time.time())}
        for name, counts in self.profiles.counts().items():
            seen = observed.setdefault(name, RouteObservation(name))
            seen.requests, seen.hits, seen.reasons = counts.requests, counts.hits, counts.reasons
        return list(observed.values())

    async def profile_route(
        self, route: str, *, requests: int = 20, seconds: float = 30.0, memory: bool = False
    ) -> Flame:
        """Watch requests of a route, such as ``GET /items/{id}``, with a sampling profiler.

        :param memory: also find the most memory a request allocates; slows everything down meanwhile.
        :return: a flame graph's data, of at most ``requests`` requests that came within ``seconds``.
        :raises ImportError: the extra ``profiler`` is not installed.
        :raises RuntimeError: another route is being watched.
        """
        return await self.spans.profile_route(route, requests, seconds, memory)

    # ---- made when first needed: the first request does not wait for any of them

    @cached_property
    def engine(self) -> PerformanceOptimizationEngine:
        """Finds, tries and keeps optimizations."""
        from perfmw.runtime.optimizing import make_engine

        return make_engine(self)

    @cached_property
    def optimizing(self) -> Optimizing:
        """When what is optimized, without being asked."""
        from perfmw.runtime.optimizing import Optimizing

        return Optimizing(self)

    @cached_property
    def ledger(self) -> Ledger:
        """Every change that was proposed, tried, kept or undone."""
        from perfmw.optimization import Ledger

        return Ledger(self.settings.state_dir)

    @cached_property
    def warm_up(self) -> WarmUp:
        """Asks for URLs before anybody does."""
        from perfmw.runtime.warming.background import WarmUp

        return WarmUp(self)

    def ready(self) -> None:
        """The app can answer from now on: begin what has to ask it."""
        if self.settings.warm_up:
            self.spawn(self.warm_up.begin(), name="perfmw-warm-up-begins")

    @cached_property
    def caching(self) -> CacheWatch:
        """What the caches did, and which keys are read most."""
        from perfmw.runtime.caching import CacheWatch

        return CacheWatch(self)

    @cached_property
    def rounds(self) -> Rounds:
        """The regular work: sampling, checking, exporting."""
        from perfmw.runtime.rounds import Rounds

        return Rounds(self)

    @cached_property
    def profile_manager(self) -> ProfileManager:
        """Creates, changes, deletes and compares profiles."""
        from perfmw.profiles.management import ProfileManager

        return ProfileManager(self.profiles, self.sharing)

    def _new_sharing(self) -> Sharing | None:
        path = archive_path(self.settings.state_dir)
        if path is None:
            return None
        from perfmw.profiles.sharing import Sharing

        return Sharing(self.profiles, path, partial(said_by, self), lambda: self.spans.kept())

    def heard(self, name: str, detail: object) -> None:
        """Pass on an event of the engine."""
        if name == "applied":
            self.plugins.fire("perfmw_optimization_applied", result=detail)
        self.tell(name, detail)

    def tell(self, name: str, detail: object) -> None:
        """Tell those who listen."""
        for listener in tuple(self._listeners):
            listener(name, detail)


_keep_alive: list[Runtime] = []
"""The runtime made for a process that has none; ``current`` holds the others weakly."""


def _import_what_comes_later() -> None:
    for name in ("optimization.engine", "runtime.rounds", "runtime.caching", "profiles.tracing"):
        import_module(f"perfmw.{name}")


set_provider(Runtime.current)


async def invalidate(
    *,
    keys: Iterable[str] = (),
    tags: Iterable[str] = (),
    prefix: str | None = None,
    url: str | None = None,
    route: str | None = None,
    soft: bool = False,
    dry_run: bool = False,
) -> Purged:
    """``Runtime.invalidate`` of the current runtime: ``await invalidate(tags=["user:7"])``."""
    runtime = Runtime.current()
    return await purge(runtime, keys, tags, prefix, url, route, soft, dry_run)
