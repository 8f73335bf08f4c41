"""Asking the app: its response is passed on as it streams, and kept, learned from or counted."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from hashlib import blake2b
from time import perf_counter

from perfmw.asgi.tee import Tee, content_length
from perfmw.asgi.types import REFUSED, HeaderList, Message, Receive, Scope, Send
from perfmw.cache import Flight
from perfmw.cache.memo import close_memo
from perfmw.cache.tagging import Collector, collect
from perfmw.exchange.cache import HttpCache
from perfmw.exchange.passing import Held
from perfmw.exchange.refusals import REFUSALS
from perfmw.exchange.requests import request_of
from perfmw.http import status as cache_status
from perfmw.http.messages import Header, Request, ResponseHead, StoredResponse
from perfmw.http.packed import with_vary
from perfmw.http.reflection import reflected
from perfmw.http.reuse import FAILURES, stale_on_error
from perfmw.http.storing import Storing, complete
from perfmw.http.validation import updated_by_head
from perfmw.profiles import Recorder
from perfmw.settings import CacheRule

log = logging.getLogger("perfmw.exchange")

_BY_ITSELF = frozenset({"no-store", "private"})
"""Reasons that one Cache-Control field gives whatever else the response says."""
_NO_ANSWER = 500
"""What an app that raised is counted as."""


class Forwarding(Tee, Collector, ABC):
    """One request that the app is asked about.

    ``fwd`` and ``detail`` are the words of Cache-Status; ``key`` is None for what must not be stored.
    """

    # Defaults live on the class: most requests change few of them.
    tags: set[str] | None = None
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
    known = False
    """Something is stored of this URL."""
    stored: StoredResponse | None = None
    """The stored response that the app is asked about."""
    asking = ""
    """What for: to ``validate`` or to ``complete`` it, to ``select`` one of several, or "" for another."""
    withheld: HeaderList | None = None
    """The fields of a response that is not passed on, since another answers the client."""
    template: StoredResponse | None = None
    cookies = False
    _request: Request | None = None

    def __init__(
        self,
        cache: HttpCache,
        scope: Scope,
        receive: Receive,
        send: Send,
        started: float,
        now: float,
        key: str | None = None,
        held: Held | None = None,
    ) -> None:
        """``key`` and ``held`` of a plain GET whose last response could not be stored; this one may be."""
        self.receive_message = receive
        self.send_message = send
        self.cache = cache
        self.scope = scope
        self.started = started
        self.now = now
        if held is not None:
            self.key = key
            self.held = held
            self.rule = held.rule

    @property
    def request(self) -> Request:
        request = self._request
        if request is None:
            request = self._request = request_of(self.scope)
        return request

    async def forward(self) -> None:
        """Let the app answer; pass on, keep and count what it says."""
        cache = self.cache
        self.epoch = cache.tags.epoch
        self.runtime = cache.runtime
        collect(self)
        try:
            await self._ask()
            if self.silent:
                await self.answer_instead()
                return
        finally:
            close_memo(self)
            if self.flight is not None:
                self.flight.done("failed")
        self._count()

    async def passed_on(self) -> None:
        """The app has returned; a ``Passage`` had handed its response over."""
        if self.chunks is not None:
            await self.finish()
        self._count()

    async def _ask(self) -> None:
        try:
            await self.cache.app(self.scope, self.receive, self.send)
            if self.chunks is not None:
                await self.finish()
        except Exception as error:
            if not self._forgives(error):
                self.count_failure()
                raise
        except BaseException:
            self.count_failure()
            raise

    @abstractmethod
    async def answer_instead(self) -> None:
        """Answer the client, whom the app's response was withheld from."""

    # ---- failures

    def _forgives(self, error: Exception) -> bool:
        """Whether a stale response covers for an app that raised instead of answering."""
        if not self.silent:
            if self.status or not self._may_stand_in(None):
                return False
            self.silent, self.status = True, _NO_ANSWER
        log.error("answered for an app that raised: %r", error, exc_info=error)
        return True

    def _may_stand_in(self, status: int | None) -> bool:
        stored = self.stored
        if stored is None or self.fwd != "stale":
            return False
        return stale_on_error(self.request, stored, self.now, self.cache.policy, status)

    # ---- counting

    def _count(self) -> None:
        recorder = self._recorder()
        self.name = recorder.name
        reason = self.detail or self.fwd
        count = recorder.counter(self.status, reason)
        count(self.finished_at - self.started)
        held = self.held
        if held is not None:
            held.counted(self.status, reason, self.name, count)
        if self.digest is not None:
            self._learn(recorder.name)

    def _recorder(self) -> Recorder:
        if self.detail in REFUSALS:
            return self.cache.refused(self.scope)
        return self.cache.recorder(self.route())

    def route(self) -> str:
        """The name of the route that answered, as far as the app has told by now."""
        scope = self.scope
        return self.cache.routes.name(scope, scope["method"], self.status)

    def count_failure(self) -> None:
        elapsed = (self.finished_at or perf_counter()) - self.started
        if self.status:
            self._recorder().origin(elapsed, self.status, self.detail or self.fwd)
        else:
            self._recorder().exception(elapsed, self.detail or self.fwd)

    # ---- the response begins

    def on_start(self, message: Message) -> Message | None:
        headers: HeaderList = [*message.get("headers", ())]
        if self.key is not None:
            if (self.stored is not None or self.asking) and self._withholds(headers):
                self.withheld = headers
                return None
            if REFUSED in message:
                return self._turned_away(message, headers)
            self._judge(message, headers)
        elif REFUSED in message:
            return self._turned_away(message, headers)
        elif self.fwd == "method":
            self._written(message, headers)
        if self.template is not None and self.cache.edge is not None:
            headers += self.cache.edge_fields(self.template, self.tags or (), self.route(), self.rule)
        if self.template is not None and self.cache.packer.fits(self.template):
            headers = with_vary(headers)
        headers.append(self._cache_status())
        return {**message, "headers": headers}

    def _turned_away(self, message: Message, headers: HeaderList) -> Message:
        """perfmw itself answered for the app: nothing is learned from that, and others may try."""
        self.detail = message[REFUSED]
        return {**message, "headers": [*headers, REFUSALS[self.detail]]}

    def _withholds(self, headers: HeaderList) -> bool:
        """Whether a stored response answers instead: it was confirmed, completed, or the app failed."""
        status = self.status
        if status == 304 and self.asking in ("validate", "select"):
            return True
        if self.asking == "complete" and status in (206, 416):
            if status == 206:
                self.limit, self.length, self.chunks = (
                    self.cache.policy.max_body_bytes,
                    content_length(headers),
                    [],
                )
            return True
        return status in FAILURES and self._may_stand_in(status)

    def _judge(self, message: Message, headers: HeaderList) -> None:
        """Decide by the head whether the body is kept."""
        if self.scope["method"] == "HEAD":
            self._compare(headers)
            return
        verdict = self.cache.glance(headers, self.rule, self.held)
        if verdict is None:
            head = self._head(headers)
            verdict = self.cache.judge(self.request, head, self.now, self.rule)
            if self.held is not None and verdict.reason in _BY_ITSELF:
                self.held.control, self.held.verdict = head.fields.get(b"cache-control"), verdict
        if verdict.stored is not None:
            self._accept(verdict, message, headers)
            return
        if verdict.supersedes and self.stored is not None and self.key is not None:
            self.ahead = self.cache.store.forget(self.key, self.stored)
        self.detail = verdict.reason
        if self.held is None:
            self._decline(verdict.reason)
            self._watch(message["status"], headers)

    def _head(self, headers: HeaderList) -> ResponseHead:
        return ResponseHead(self.status, [(bytes(name).lower(), bytes(value)) for name, value in headers])

    def _compare(self, headers: HeaderList) -> None:
        """A HEAD shows whether the stored GET response is still the right one (RFC 9111 §4.3.5)."""
        self.detail = "method"
        if self.stored is None:
            return
        updated = updated_by_head(
            self.stored,
            self._head(headers),
            request=self.request,
            request_time=self.now,
            response_time=time.time(),
            policy=self.cache.policy,
            rule=self.rule,
        )
        if updated is not None:
            self.ahead = self.store(updated)

    def _written(self, message: Message, headers: HeaderList) -> None:
        """A write outdates what is stored; under RFC 9111 alone a POST may leave its own answer behind."""
        cache, head = self.cache, self._head(headers)
        if beyond := cache.outdate(self.request, head):
            self.ahead = cache.runtime.responses.invalidate_beyond(keys=beyond)
        if self.scope["method"] != "POST" or not cache.policy.rfc_strict:
            return
        verdict = cache.judge(self.request, head, self.now, self.rule)
        if verdict.stored is not None:
            self.key = cache.key(self.request)
        if self.key is not None:
            self.epoch = cache.tags.epoch
            self._accept(verdict, message, headers)

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

    def _cache_status(self) -> Header:
        stored = self.template is not None
        detail = "" if stored else self.detail
        value = cache_status.forwarded(self.fwd, stored=stored, collapsed=self.collapsed, detail=detail)
        return (b"cache-status", value)

    # ---- the response ends

    async def on_complete(self, body: bytes) -> None:
        if self.template is None:
            await self.on_part(body)
            return
        stored = complete(self.template, body, self.cache.policy)
        if stored is None:
            self.on_abandon("incomplete")
            return
        if not self.cache.policy.rfc_strict and reflected(self.request, stored):
            self.on_abandon("reflected")
            return
        stored.route = self.route()
        kept = await self.store(stored)
        if self.flight is not None:
            self.flight.done("stored" if kept else "uncacheable")

    @abstractmethod
    async def on_part(self, body: bytes) -> None:
        """The rest of a stored beginning has come."""

    async def store(self, stored: StoredResponse, tags: Sequence[str] = ()) -> bool:
        """Keep a complete response.

        :param tags: those it has beside the ones named while the app answered.
        """
        assert self.key is not None
        self.cache.passing.unmark(self.key)
        kept = await self.cache.keep(
            self.key,
            stored,
            tags={*(self.tags or ()), *tags},
            rule=self.rule,
            request_time=self.now,
            epoch=self.epoch,
        )
        if kept and stored.route:
            traffic = self.cache.recorder(stored.route).traffic
            traffic.fills += 1
            traffic.stored_bytes += len(stored.body)
        return kept

    def on_abandon(self, reason: str) -> None:
        """Not stored: those who wait for this response go their own way, and so do the next ones."""
        incomplete = reason == "incomplete"
        if self.key is not None and not incomplete:
            self.cache.passing.mark(self.key, perf_counter(), self.rule, stored=self.known)
        if self.flight is not None:
            self.flight.done("failed" if incomplete else "uncacheable")

    # ---- learning

    def _watch(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Learn whether this URL's responses repeat, from a sample of those that were not stored."""
        assert self.key is not None
        wanted = status == 200 and self.scope["method"] == "GET"
        if wanted and self.cache.workload.wants(self.key, self.now):
            self.digest = blake2b(digest_size=16)
            self.cookies = any(name.lower() == b"set-cookie" for name, _ in headers)

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
