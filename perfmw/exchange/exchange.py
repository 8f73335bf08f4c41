"""One request, from lookup to store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from time import perf_counter

from perfmw.asgi.tee import Tee, content_length
from perfmw.asgi.types import HeaderList, Message, Receive, Scope, Send
from perfmw.cache import Flight
from perfmw.cache.tagging import Collector, collect
from perfmw.exchange.cache import HttpCache
from perfmw.exchange.fast import raw_path
from perfmw.exchange.passing import Held
from perfmw.http import status as cache_status
from perfmw.http.messages import Request, ResponseHead, StoredResponse
from perfmw.http.reuse import Decision, decide, forwarded_headers, precheck
from perfmw.http.serve import response_for
from perfmw.http.storing import Storing
from perfmw.http.validation import freshen
from perfmw.profiles import Recorder
from perfmw.settings import CacheRule

_CONDITIONALS = frozenset({b"if-none-match", b"if-modified-since"})
_BY_ITSELF = frozenset({"no-store", "private"})
"""Reasons that one Cache-Control field gives whatever else the response says."""
_ATTEMPTS = 3
"""How often a follower whose leader failed looks for another before it asks the app itself."""

_MOST_SAID = 1024
_said: dict[tuple[str, str], tuple[bytes, bytes]] = {}


class Exchange(Tee, Collector):
    """The fresh responder of one request: finds an answer in the store, or passes the app's answer on.

    ``fwd`` and ``detail`` are the words of Cache-Status; ``key`` is None for what must not be stored.
    """

    name = ""
    """The route's name, once the request has been counted under it."""
    key: str | None = None
    rule: CacheRule | None = None
    fwd = "uri-miss"
    detail = ""
    collapsed = False
    held: Held | None = None
    """The URL is known to be uncacheable by now; what was learned of it lately need not be learned again."""
    flight: Flight | None = None
    validating: StoredResponse | None = None
    not_modified: HeaderList | None = None
    template: StoredResponse | None = None
    outdated: Sequence[str] = ()
    cookies = False
    _request: Request | None = None

    def __init__(
        self, cache: HttpCache, scope: Scope, receive: Receive, send: Send, started: float, now: float
    ) -> None:
        self.receive_message = receive
        self.send_message = send
        self.cache = cache
        self.scope = scope
        self.started = started
        self.now = now

    @property
    def request(self) -> Request:
        request = self._request
        if request is None:
            request = self._request = request_of(self.scope)
        return request

    # ---- deciding

    async def run(self) -> None:
        """Answer from the store if that is right, else let the app answer, and learn from it."""
        request, cache = self.request, self.cache
        self.rule = cache.rules.match(request.method, request.path)
        reason = precheck(request, cache.policy, self.rule)
        if reason is not None:
            self.fwd, self.detail = ("method", "") if reason == "method" else ("bypass", reason)
            await self.forward()
            return
        self.key = cache.key(request)
        decision = await self._decide()
        if decision.action == "forward" and decision.may_store and self._may_wait():
            decision = await self._wait(decision)
        await self._act(decision)

    def passing(self, key: str, held: Held) -> Exchange:
        """Make ready to forward a plain GET whose last response could not be stored; this one may be."""
        self.key = key
        self.held = held
        self.rule = held.rule
        return self

    async def _decide(self) -> Decision:
        assert self.key is not None
        candidates = await self.cache.store.find(self.key, self.request)
        return decide(self.request, candidates, self.now, self.cache.policy, self.rule)

    def _may_wait(self) -> bool:
        """Only plain requests for URLs not known to be uncacheable may wait for another's answer."""
        request = self.request
        if not self.cache.coalesce or request.special or request.method != "GET":
            return False
        assert self.key is not None
        return not self.cache.passing.holds(self.key, self.now)

    async def _wait(self, decision: Decision) -> Decision:
        """One call of the app for all who want the same: lead, or wait for what the leader gets."""
        assert self.key is not None
        for _ in range(_ATTEMPTS):
            flight = self.cache.runtime.coalescer.enter(self.key)
            if flight.leader:
                self.flight = flight
                return decision
            outcome = await flight.wait(self.cache.coalesce_timeout)
            if outcome != "failed":
                break
        self.now = time.time()
        self.collapsed = True
        return await self._decide()

    async def _act(self, decision: Decision) -> None:
        if decision.action in ("serve", "serve_stale"):
            assert decision.stored is not None
            detail = "collapsed" if self.collapsed else decision.detail
            await self._serve(decision.stored, detail=detail)
            return
        self.fwd, self.detail = decision.fwd, decision.detail
        if decision.action == "refuse":
            await self._refuse()
            return
        if not decision.may_store:
            self.key = None
        if decision.action == "validate":
            self.validating = decision.stored
            self.scope = {**self.scope, "headers": forwarded_headers(self.request, decision)}
        await self.forward()

    # ---- answering without the app

    async def _serve(self, stored: StoredResponse, *, status: bytes | None = None, detail: str = "") -> None:
        served = response_for(self.request, stored, self.now, self.cache.policy)
        value = status or cache_status.hit(int(stored.fresh_until - self.now), detail)
        headers: HeaderList = [*served.headers, (b"cache-status", value)]
        await self.send_message({"type": "http.response.start", "status": served.status, "headers": headers})
        await self.send_message({"type": "http.response.body", "body": served.body})
        self.name = stored.route
        self.cache.recorder(stored.route).hit(perf_counter() - self.started)

    async def _refuse(self) -> None:
        """504 for only-if-cached without a suitable response (RFC 9111 §5.2.1.7)."""
        status = cache_status.forwarded(self.fwd, detail=self.detail)
        headers: HeaderList = [(b"content-length", b"0"), (b"cache-status", status)]
        await self.send_message({"type": "http.response.start", "status": 504, "headers": headers})
        await self.send_message({"type": "http.response.body", "body": b""})
        self.status = 504
        self._recorder().origin(perf_counter() - self.started, 504, self.detail)

    # ---- asking the app

    async def forward(self) -> None:
        """Let the app answer; pass on, keep and count what it says."""
        cache = self.cache
        self.epoch = cache.tags.epoch
        self.runtime = cache.runtime
        collect(self)
        try:
            await cache.app(self.scope, self.receive, self.send)
            if self.chunks is not None:
                await self.finish()
        except BaseException:
            self._count_failure()
            raise
        finally:
            if self.flight is not None:
                self.flight.done("failed")
        if self.not_modified is not None:
            await self._refresh()
            return
        if self.outdated:
            await cache.runtime.cache.invalidate(keys=self.outdated)
        held = self.held
        if held is not None and held.status == self.status and held.recorder is not None:
            recorder = held.recorder
        else:
            recorder = self._remembered(held)
        recorder.origin(self.finished_at - self.started, self.status, self.detail or self.fwd)
        self.name = recorder.name
        if self.digest is not None:
            self._learn(recorder.name)

    def _recorder(self) -> Recorder:
        return self.cache.recorder(self.route())

    def _remembered(self, held: Held | None) -> Recorder:
        """The same URL is answered by the same route again, unless its status says otherwise."""
        recorder = self._recorder()
        if held is not None:
            held.recorder, held.status = recorder, self.status
        return recorder

    def route(self) -> str:
        """The name of the route that answered, as far as the app has told by now."""
        scope = self.scope
        return self.cache.routes.name(scope, scope["method"], self.status)

    def _count_failure(self) -> None:
        elapsed = (self.finished_at or perf_counter()) - self.started
        if self.status:
            self._recorder().origin(elapsed, self.status, self.detail or self.fwd)
        else:
            self._recorder().exception(elapsed, self.detail or self.fwd)

    async def _refresh(self) -> None:
        """The app said 304 to our validators: the stored response is good again, and answers the client."""
        assert self.validating is not None
        self.now = time.time()
        verdict = freshen(
            self.validating,
            ResponseHead(304, self.not_modified or []),
            request=self.request,
            request_time=self.now,
            response_time=self.now,
            policy=self.cache.policy,
            rule=self.rule,
        )
        if verdict is None or verdict.stored is None:
            await self._ask_again()
            return
        if verdict.store:
            await self._store(verdict.stored)
        status = cache_status.forwarded(self.fwd, fwd_status=304, stored=verdict.store, detail=self.detail)
        await self._serve(verdict.stored, status=status)

    async def _ask_again(self) -> None:
        """The 304 was about another response than ours: ask without conditions."""
        headers = [field for field in self.scope["headers"] if field[0] not in _CONDITIONALS]
        again = Exchange(
            self.cache,
            {**self.scope, "headers": headers},
            self.receive_message,
            self.send_message,
            self.started,
            self.now,
        )
        again.key, again.rule, again.fwd, again.detail = self.key, self.rule, self.fwd, self.detail
        await again.forward()

    # ---- while the app's response passes by

    def on_start(self, message: Message) -> Message | None:
        headers: HeaderList = [*message.get("headers", ())]
        held = self.held
        if held is not None and (verdict := self.cache.glance(headers, self.rule, held)) is not None:
            self.detail = verdict.reason
        elif self.key is not None:
            if self.validating is not None and message["status"] == 304:
                self.not_modified = headers
                return None
            self._judge(message, headers)
        elif self.fwd == "method":
            self.outdated = self.cache.outdate(self.request, ResponseHead(message["status"], headers))
        plain = self.template is None and not self.collapsed
        headers.append((plain and _said.get((self.fwd, self.detail))) or self._cache_status())
        return {**message, "headers": headers}

    def _judge(self, message: Message, headers: HeaderList) -> None:
        """Decide by the head whether the body is kept."""
        verdict = self.cache.glance(headers, self.rule, self.held)
        if verdict is None:
            head = ResponseHead(message["status"], [(bytes(name), bytes(value)) for name, value in headers])
            verdict = self.cache.judge(self.request, head, self.now, self.rule)
            if self.held is not None and verdict.reason in _BY_ITSELF:
                self.held.control, self.held.verdict = head.fields.get(b"cache-control"), verdict
        if verdict.stored is not None:
            self._accept(verdict, message, headers)
            return
        self.detail = verdict.reason
        if self.held is None:
            self._decline(verdict.reason)
            self._watch(message["status"], headers)

    def _accept(self, verdict: Storing, message: Message, headers: HeaderList) -> None:
        self.limit = self.cache.policy.max_body_bytes
        self.length = content_length(headers)
        if message.get("trailers"):
            self._decline("trailers")
        elif self.length is not None and self.length > self.limit:
            self._decline("too-large")
        else:
            self.template = verdict.stored
            self.chunks = []

    def _decline(self, reason: str) -> None:
        self.detail = reason
        self.on_abandon(reason)

    def _watch(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Learn whether this URL's responses repeat, from a sample of those that were not stored."""
        assert self.key is not None
        wanted = status == 200 and self.scope["method"] == "GET"
        if wanted and self.cache.workload.wants(self.key, self.now):
            self.digest = blake2b(digest_size=16)
            self.cookies = any(name == b"set-cookie" for name, _ in headers)

    def _cache_status(self) -> tuple[bytes, bytes]:
        """The Cache-Status field; that of a response which is not stored is remembered for the next one."""
        stored = self.template is not None
        detail = "" if stored else self.detail
        value = cache_status.forwarded(self.fwd, stored=stored, collapsed=self.collapsed, detail=detail)
        if not (stored or self.collapsed) and len(_said) < _MOST_SAID:
            _said[self.fwd, detail] = (b"cache-status", value)
        return (b"cache-status", value)

    async def on_complete(self, body: bytes) -> None:
        assert self.template is not None
        kept = await self._store(replace(self.template, body=body, route=self.route()))
        if self.flight is not None:
            self.flight.done("stored" if kept else "uncacheable")

    async def _store(self, stored: StoredResponse) -> bool:
        assert self.key is not None
        self.cache.passing.unmark(self.key)
        return await self.cache.keep(
            self.key,
            stored,
            tags=self.tags or set(),
            rule=self.rule,
            request_time=self.now,
            epoch=self.epoch,
        )

    def on_abandon(self, reason: str) -> None:
        """Not stored: those who wait for this response go their own way, and so do the next ones."""
        incomplete = reason == "incomplete"
        if self.key is not None and not incomplete:
            self.cache.passing.mark(self.key, self.now, self.rule)
        if self.flight is not None:
            self.flight.done("failed" if incomplete else "uncacheable")

    def _learn(self, route: str) -> None:
        if not self.ended or self.disconnected or self.key is None:
            return
        fields = self.request.fields
        principal = fields.get(b"authorization", b"") + b"\n" + fields.get(b"cookie", b"")
        personal = len(principal) > 1
        self.cache.workload.observe(
            route,
            self.key,
            self.request.path.decode("latin-1"),
            self.digest.digest(),
            personal=personal,
            set_cookie=self.cookies,
            now=self.now,
            principal=principal if personal else None,
        )


def request_of(scope: Scope) -> Request:
    """The request as the HTTP rules see it."""
    headers = scope["headers"]
    if not isinstance(headers, list):
        headers = list(headers)
    authority = b""
    has_body = False
    for name, value in headers:
        if name == b"host":
            authority = authority or value
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            has_body = True
    scheme, path, query = scope.get("scheme", "http"), raw_path(scope), scope["query_string"]
    return Request(scope["method"], scheme, authority, path, query, headers, has_body)
