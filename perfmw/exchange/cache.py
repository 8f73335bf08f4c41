"""What the exchanges of one app share: the rules, the store, and what is being learned."""

from __future__ import annotations

import time
from collections.abc import Iterable, MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from perfmw.asgi.types import ASGIApp, HeaderList, Scope
from perfmw.exchange.packer import Packer
from perfmw.exchange.passing import Held, Passing
from perfmw.exchange.refusals import limited
from perfmw.exchange.store import ResponseStore
from perfmw.http.invalidation import outdated_keys
from perfmw.http.keys import custom_key, request_key
from perfmw.http.messages import Request, ResponseHead, StoredResponse
from perfmw.http.storing import NO_FRESHNESS, Storing, storing
from perfmw.profiles import Recorder, Routes
from perfmw.profiles.routes import METHODS, OTHER_METHOD
from perfmw.runtime import Runtime
from perfmw.settings import CacheRule, Settings

if TYPE_CHECKING:
    from perfmw.cache.cdn import CdnFields
    from perfmw.exchange.background import Background


_FAILED = object()


class HttpCache:
    """The HTTP cache of one host app. An Exchange holds the state of a request; nothing here does."""

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        settings, plugins = runtime.settings, runtime.plugins
        self.app = limited(app, runtime.limits)
        self.runtime = runtime
        self.state: MutableMapping[str, Any] | None = None
        """The state of the app's lifespan, for requests that do not come through a server."""
        self.policy = runtime.policy
        self.rules = runtime.rules
        self.tags = runtime.cache.tags
        self.recorder = runtime.profiles.recorder
        self.workload = runtime.workload
        self._learning = runtime.learning if runtime.learning.watches else None
        self.routes = Routes(app)
        self.passing = Passing(settings.hit_for_miss_seconds)
        runtime.rules.on_change(self.passing.clear)
        self.edge = _edge_of(settings)
        """Makes the fields for a CDN; None where there is none to send any."""
        self.packer = Packer(settings)
        self.store = ResponseStore(runtime.responses, runtime.policy, self.packer)
        self.coalesce = settings.coalesce
        runtime.controls.provide("coalesce", lambda: self.coalesce, self._set_coalesce)
        self.coalesce_timeout = settings.coalesce_timeout
        self.plain_keys = not plugins.has("perfmw_cache_key")
        self._vetoed = plugins.has("perfmw_should_cache")
        self._background: Background | None = None

    def _set_coalesce(self, on: bool) -> None:
        self.coalesce = bool(on)

    @property
    def background(self) -> Background:
        """Validations that answer nobody."""
        if self._background is None:
            from perfmw.exchange.background import Background  # it builds on this file

            self._background = Background(self)
        return self._background

    def refused(self, scope: Scope, name: str = "") -> Recorder:
        """Who counts a request that the app never saw. ``name``: of its route, if that is known."""
        method = scope["method"]
        return self.recorder(name or f"{method if method in METHODS else OTHER_METHOD} (refused)")

    def key(self, request: Request) -> str | None:
        """The key of a request's URL, or what a plugin makes of it.

        None if the plugin raised or gave something else than a text: without the key it wanted, one tenant
        might be answered with another's page.
        """
        if not self.plain_keys:
            text = self.runtime.plugins.ask("perfmw_cache_key", on_error=_FAILED, request=request)
            if text is not None:
                known = isinstance(text, str)
                return custom_key(request.scheme, request.authority, text) if known else None
        return request_key(request.scheme, request.authority, request.path, request.query)

    def judge(
        self, request: Request, head: ResponseHead, request_time: float, rule: CacheRule | None
    ) -> Storing:
        """Whether a response may be stored, plugins asked last: they may forbid, never allow."""
        verdict = storing(
            request, head, request_time=request_time, response_time=time.time(), policy=self.policy, rule=rule
        )
        if verdict.store and self._vetoed and self._veto(request, head):
            return Storing(False, "plugin")
        return verdict

    def _veto(self, request: Request, head: ResponseHead) -> bool:
        return self.runtime.plugins.forbids("perfmw_should_cache", request=request, response=head)

    def glance(self, headers: HeaderList, rule: CacheRule | None, held: Held | None) -> Storing | None:
        """The verdict where it needs no thought: nothing gives freshness, or the same field forbids it."""
        verdict = None if rule is not None and rule.ttl is not None else NO_FRESHNESS
        freshness = self.policy.freshness_names
        for name, value in headers:
            if name in freshness:
                if held is None or value != held.control or name != b"cache-control":
                    return None
                verdict = held.verdict
        return verdict

    async def keep(
        self,
        key: str,
        stored: StoredResponse,
        *,
        tags: set[str],
        rule: CacheRule | None,
        request_time: float,
        epoch: int,
    ) -> bool:
        """Store a complete response under its tags, unless it was invalidated since ``epoch``."""
        tags |= self._labels(stored.route, rule)
        if self.edge is not None:
            stored.edge, stored.brief = tuple(self.edge_fields(stored, tags)), None
        born = self.tags.now()
        if self.tags.epoch != epoch:
            born = epoch  # something was invalidated meanwhile: let the index tell whether it was this
        now = time.time()
        if self._learning is not None:
            self._learning.keeps(key, stored, rule, now)
        return await self.store.keep(
            key, stored, tags=tags, cost=max(0.0, now - request_time), epoch=born, now=now
        )

    def _labels(self, route: str, rule: CacheRule | None) -> set[str]:
        if rule is None:
            return {f"route:{route}"}
        return {f"route:{route}", *rule.tags, f"rule:{rule.name or rule.path}"}

    def edge_fields(
        self, stored: StoredResponse, tags: Iterable[str], route: str = "", rule: CacheRule | None = None
    ) -> HeaderList:
        """The fields for a CDN of a response that is stored, or with ``route`` will be."""
        if self.edge is None:
            return []
        return self.edge.of(
            {*tags, *self._labels(route, rule)} if route else tags,
            stored.lifetime,
            stale_while_revalidate=stored.stale_while_revalidate,
            stale_if_error=stored.stale_if_error,
            own=stored.headers,
        )

    def outdate(self, request: Request, head: ResponseHead) -> list[str]:
        """A successful unsafe request makes what is stored of its targets invalid (RFC 9111 §4.4).

        It holds on this host at once, before the client has the answer; the keys are returned for the layers
        beyond this process.
        """
        keys = outdated_keys(request, head)
        if self._learning is not None and keys:
            self._learning.wrote(request.path.decode("latin-1"), keys, time.time())
        if keys:
            if not self.plain_keys:
                own = self.key(replace(request, method="GET"))
                keys += [own] if own is not None else []
            self.runtime.responses.invalidate_nowait(keys=keys)
        return [] if self.runtime.responses.all_memory else keys


def _edge_of(settings: Settings) -> CdnFields | None:
    if settings.cdn is None:
        return None
    from perfmw.cache.cdn import CdnFields

    fields = CdnFields(settings.cdn)
    return fields if fields.any else None
