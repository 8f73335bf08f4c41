"""PerfMiddleware: the only ASGI ``__call__`` a host app sees."""

from __future__ import annotations

import os
import time
from asyncio import sleep, to_thread
from collections.abc import Iterable
from copy import copy
from importlib import import_module
from random import random
from time import perf_counter
from typing import TYPE_CHECKING

from perfmw.asgi.cork import send_response
from perfmw.asgi.lifespan import run_lifespan
from perfmw.asgi.target import load_app
from perfmw.asgi.types import ASGIApp, HeaderList, Receive, Scope, Send
from perfmw.cache.tagging import enter
from perfmw.exchange.cache import HttpCache
from perfmw.exchange.exchange import Exchange
from perfmw.exchange.explaining import Explainer
from perfmw.exchange.fast import (
    Conditions,
    Plain,
    confirmed,
    fresh,
    hit_headers,
    hit_headers_for_cdn,
    plain_key,
)
from perfmw.exchange.passage import Passage, unusual
from perfmw.exchange.refusals import dashboard_missing, limited
from perfmw.http.messages import StoredResponse
from perfmw.profiles.breakdown import metered
from perfmw.profiles.covered import open_server_span
from perfmw.profiles.tracing import parent_of
from perfmw.profiles.vitals import VitalsBeacon
from perfmw.runtime import Runtime
from perfmw.settings import Settings

if TYPE_CHECKING:
    from perfmw.exchange.warming import Asker

Told = list[object]
DASHBOARD = "perfmw.dashboard:create_app"
"""Loaded when a request first asks for it, so that nobody pays for a page nobody opens (docs/design.md)."""


class PerfMiddleware:
    """Wraps an ASGI app with a shared HTTP cache (RFC 9111), profiles and optimizations.

    ``PerfMiddleware(app)`` alone is a complete configuration. It holds no state of a request.

    :param settings: default: ``Settings()``, which reads the environment and ``perfmw.toml``.
    :param plugins: plugin objects beside the installed ones.
    :param runtime: share an existing runtime; ``settings`` and ``plugins`` must then be left out.
    :raises SettingsError: for a setting that is malformed or names something nobody registered.
    :raises ValueError: for ``runtime`` together with ``settings`` or ``plugins``.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings | None = None,
        plugins: Iterable[object] = (),
        runtime: Runtime | None = None,
    ) -> None:
        plugins = tuple(plugins)
        if runtime is not None and (settings is not None or plugins):
            raise ValueError("runtime= already has its settings and plugins; pass either it or them")
        self.app = app
        self.runtime = runtime or Runtime(settings, plugins)
        self._cache = HttpCache(app, self.runtime)
        self.runtime.explainer = Explainer(self._cache)
        self.runtime.asker = self._asker
        self._rules = self.runtime.rules.active
        self._held = self._cache.passing.held
        self._lookup = self.runtime.responses.get_nowait
        learning = self.runtime.learning
        self._fresh = learning.watching(fresh) if learning.watches else fresh
        self._hit_headers = hit_headers if self._cache.edge is None else hit_headers_for_cdn
        self._recorder = self.runtime.profiles.recorder
        self._plain = self._cache.plain_keys
        self._strict = self.runtime.policy.rfc_strict
        chosen = self.runtime.settings
        self._off = not chosen.enabled
        self._mount = chosen.dashboard_path if chosen.enabled and chosen.dashboard != "off" else None
        self._dashboard: list[ASGIApp] = []  # made when asked for; a list, so that the twin has the same
        self._twin: PerfMiddleware | None = None
        vitals = chosen.vitals_path if chosen.enabled else None
        self._vitals = VitalsBeacon(self.runtime.profiles, vitals) if vitals is not None else None

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, told: Told | None = None, plain: Plain | None = None
    ) -> None:
        """Answer by the shortest way that is right.

        :param told: a list to be told by what.
        :param plain: what is known of ``scope`` already.
        """
        if scope["type"] != "http" or self._off:
            await self._other(scope, receive, send)
            return
        if plain is None and self._plain:
            plain = plain_key(scope)
        tracing = self.runtime.tracing if told is None else None
        if tracing is not None:
            parent = plain[2] if plain is not None else parent_of(scope)
            drawn = random() < tracing.chance
            asked_for = drawn or parent is not None or open_server_span.get() is not None
            if asked_for and tracing.takes(parent, drawn):
                await tracing.run(self, scope, receive, send, plain)
                return
        started = perf_counter()
        if plain is not None:
            key, conditions, _ = plain
            held = self._held.get(key)
            if held is not None and started < held.until:
                if conditions is None:  # a plain GET of a URL whose responses can not be stored
                    passage, cache = Passage(), self._cache
                    passage.cache, passage.epoch, passage.held = cache, cache.tags.epoch, held
                    passage.scope, passage.receive_message, passage.send_message = scope, receive, send
                    passage.started, passage.finished_at, passage.disconnected = started, 0.0, False
                    passage.tally, passage.exchange, passage.begun = unusual, None, None
                    passage.status, passage.reason = 0, ""
                    enter(passage)
                    if told is not None:
                        told.append(passage)
                    try:
                        await cache.app(scope, passage.receive, passage.send)
                        seconds = passage.finished_at - started
                        if passage.tally is not unusual and seconds > 0.0:
                            passage.tally(seconds)
                        else:
                            seconds = await passage.finish()
                    except BaseException as error:
                        passage.fail()
                        if tracing is not None:
                            tracing.failed(scope, perf_counter() - started, passage, error)
                        raise
                    if tracing is not None and (seconds >= tracing.slow or passage.status >= 500):
                        tracing.afterwards(scope, seconds, passage)
                    return
            elif stored := self._fresh(
                self._lookup, key, now := time.time(), scope, self._strict, self._rules
            ):
                status, headers, body = self._answer(stored, conditions, now)
                start = {"type": "http.response.start", "status": status, "headers": headers}
                await send_response(send, start, {"type": "http.response.body", "body": body})
                self._count_hit(stored, body, perf_counter() - started, told)
                return
        await self._observed_at_length(scope, receive, send, started, told)

    def _answer(
        self, stored: StoredResponse, conditions: Conditions | None, now: float
    ) -> tuple[int, HeaderList, bytes]:
        if conditions is not None and (headers := confirmed(stored, conditions, now)) is not None:
            return 304, headers, b""
        return stored.status, self._hit_headers(stored, now), stored.body

    def _count_hit(self, stored: StoredResponse, body: bytes, seconds: float, told: Told | None) -> None:
        recorder = self._recorder(stored.route)
        recorder.hit(seconds)
        traffic = recorder.traffic  # plain additions: all that a hit pays for the cache's statistics
        if body:
            traffic.hit_bytes += len(body)
        traffic.saved += stored.response_time - stored.request_time
        if told is not None:
            told.append(stored)

    async def _observed_at_length(
        self, scope: Scope, receive: Receive, send: Send, started: float, told: Told | None
    ) -> None:
        tracing = self.runtime.tracing if told is None else None
        if tracing is None:
            await self._at_length(scope, receive, send, started, told)
        else:
            told = []
            await tracing.unsampled(scope, told, self._at_length(scope, receive, send, started, told))

    async def _at_length(
        self, scope: Scope, receive: Receive, send: Send, started: float, told: Told | None
    ) -> None:
        runtime = self.runtime
        if not runtime.started:
            await runtime.start()  # a host that sends no lifespan
            runtime.ready()
            self._hang_door(send)
            if told is None and runtime.tracing is not None:
                await self(scope, receive, send)
                return
        if runtime.loop.calm:
            runtime.loop.stir()
        if self._vitals is not None and self._vitals.wants(scope):
            await self._vitals(scope, receive, send)
            return
        if self._mount is not None and (below := _below(self._mount, scope)) is not None:
            if self._plain and plain_key(scope) is not None:
                runtime.responses.forget_miss()  # of looking for it among what is cached
            await self._serve_dashboard(below, receive, send)
            return
        exchange = Exchange(self._cache, scope, receive, send, started, time.time())
        if told is not None:
            told.append(exchange)
        await exchange.run()

    @property
    def observed(self) -> PerfMiddleware:
        """The same, with a look at when the app runs: for sampled requests."""
        if self._twin is None:
            self._twin = copy(self)
            self._twin._cache = copy(self._cache)
            self._twin._cache.app = limited(metered(self.app), self.runtime.limits)
        return self._twin

    def serves(self, scope: Scope) -> bool:
        """Whether a request is for perfmw's own pages, and none of the app's."""
        if self._vitals is not None and self._vitals.wants(scope):
            return True
        return self._mount is not None and _below(self._mount, scope) is not None

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime = self.runtime
        if scope["type"] == "http":
            await self.app(scope, receive, send)
            return
        if scope["type"] == "lifespan" and runtime.settings.enabled:
            self._cache.state = scope.get("state")
            self._hang_door(send)
            await run_lifespan(
                self.app, scope, receive, send, start=runtime.start, stop=runtime.stop, ready=runtime.ready
            )
            return
        runtime.enter()
        await self.app(scope, receive, send)

    def _hang_door(self, told: object) -> None:
        if self.runtime.limits is not None:
            from perfmw.exchange.door import hang_door  # only those who want limits pay for it

            hang_door(self._cache, told)

    def _asker(self) -> Asker:
        """What a warm-up asks with; imported when there is one."""
        from perfmw.exchange.warming import Asker

        return Asker(self._cache)

    async def _serve_dashboard(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._dashboard:
            module, _, factory = DASHBOARD.partition(":")
            try:
                made = await to_thread(import_module, module)  # for as long as no request of the app may wait
            except (ImportError, OSError) as error:
                await dashboard_missing(error, scope, send)
                return
            for _ in self.runtime.profiles.describing():
                await sleep(0)
            if not self._dashboard:
                self._dashboard.append(getattr(made, factory)(self.runtime))
        await self._dashboard[0](scope, receive, send)


Runtime.serving = (PerfMiddleware.__call__.__code__,)


def _below(prefix: str, scope: Scope) -> Scope | None:
    """The scope as a sub-app mounted at ``prefix`` sees it, or None for a path outside it."""
    root, path = scope.get("root_path", ""), scope["path"]
    local = path[len(root) :] if root and path.startswith(root) else path
    if local != prefix and not local.startswith(prefix + "/"):
        return None
    base = path[: len(path) - len(local)]
    return {**scope, "root_path": (base or root) + prefix, "path": path}


def from_environment() -> PerfMiddleware:
    """What ``perfmw.asgi:app`` is: the app named by ``PERFMW_TARGET``, wrapped.

    :raises TargetError: PERFMW_TARGET is not set or names no app.
    """
    target = os.environ.get("PERFMW_TARGET", "")
    factory = os.environ.get("PERFMW_TARGET_FACTORY", "") in ("1", "true", "yes")
    return PerfMiddleware(load_app(target, factory=factory))
