"""One request, from lookup to store."""

from __future__ import annotations

import time
from time import perf_counter

from perfmw.asgi.types import COVERED, MUST_REVALIDATE, HeaderList
from perfmw.exchange.forwarding import Forwarding
from perfmw.http import status as cache_status
from perfmw.http.messages import ResponseHead, StoredResponse
from perfmw.http.reuse import Decision, among_variants, decide, forwarded_headers, precheck, stale_on_error
from perfmw.http.serve import response_for
from perfmw.http.storing import Storing
from perfmw.http.validation import completed, freshen
from perfmw.profiles.traffic import Traffic

_OURS = frozenset({b"if-none-match", b"if-modified-since", b"if-range", b"range"})
_ATTEMPTS = 3
"""How often a follower whose leader failed looks for another before it asks the app itself."""


class Exchange(Forwarding):
    """The fresh responder of one request: finds an answer in the store, or passes the app's answer on."""

    part: Storing | None = None
    """What came of completing a stored beginning."""

    # ---- deciding

    async def run(self) -> None:
        """Answer from the store if that is right, else let the app answer, and learn from it."""
        request, cache = self.request, self.cache
        self.rule = cache.rules.match(request.method, request.path)
        reason = precheck(request, cache.policy, self.rule)
        if reason is None:
            self.key = cache.key(request)
            reason = None if self.key is not None else "plugin"
        if reason is not None:
            self.fwd, self.detail = ("method", "") if reason == "method" else ("bypass", reason)
            await self.forward()
            return
        decision = await self._decide()
        if self._may_wait(decision):
            decision = await self._wait(decision)
        await self._act(decision)

    async def _decide(self) -> Decision:
        assert self.key is not None
        candidates = await self.cache.store.find(self.key, self.request)
        self.known = bool(candidates)
        decision = decide(self.request, candidates, self.now, self.cache.policy, self.rule)
        if decision.fwd == "vary-miss" and (index := await self.cache.store.variants(self.key)) is not None:
            return among_variants(self.request, decision, index.tags(), self.cache.policy)
        return decision

    def _may_wait(self, decision: Decision) -> bool:
        """Only plain requests for URLs not known to be uncacheable may wait for another's answer.

        Nor do those for a response that every request has to validate: the other's answer is none for them.
        """
        request, stored = self.request, decision.stored
        if decision.action not in ("forward", "validate", "select") or not decision.may_store:
            return False
        if not self.cache.coalesce or request.special or request.method != "GET":
            return False
        assert self.key is not None
        if stored is not None and stored.always_revalidate:
            return False
        return not self.cache.passing.holds(self.key, perf_counter())

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
        stored = decision.stored
        if outcome == "stale" and stored is not None and self._covers(stored):
            return Decision("serve_stale", stored, fwd="stale", detail="stale-if-error")
        return await self._decide()

    def _covers(self, stored: StoredResponse) -> bool:
        return stale_on_error(self.request, stored, self.now, self.cache.policy)

    async def _act(self, decision: Decision) -> None:
        stored = decision.stored
        if decision.action in ("serve", "serve_stale"):
            assert stored is not None
            await self.serve(stored, detail=decision.detail or "collapsed" * self.collapsed)
            if decision.revalidate and self.key is not None:
                self.cache.background.revalidate(self, self.key, stored)
            return
        self.fwd, self.detail = decision.fwd, decision.detail
        if decision.action == "refuse":
            await self._refuse()
            return
        if not decision.may_store:
            self.key = None
        self.stored = stored
        if decision.conditionals:
            self.asking = decision.action
            self.scope = {**self.scope, "headers": forwarded_headers(self.request, decision)}
        if stored is not None and self.fwd == "stale":
            if self._covers(stored):
                self.scope = {**self.scope, COVERED: True}
            elif stored.must_revalidate:
                self.scope = {**self.scope, MUST_REVALIDATE: True}
        await self.forward()

    # ---- answering without the app's response

    async def serve(self, stored: StoredResponse, *, status: bytes | None = None, detail: str = "") -> None:
        """Answer with a stored response; the app was not asked, or had nothing to add but a 304."""
        value = status or cache_status.hit(int(stored.fresh_until - self.now), detail)
        await self.reply(stored, value)
        recorder = self.cache.recorder(stored.route)
        recorder.hit(perf_counter() - self.started)
        self._note_answer(recorder.traffic, stored, spared=status is None)
        self.name = stored.route

    def _note_answer(self, traffic: Traffic, stored: StoredResponse, *, spared: bool) -> None:
        """Count what the cache sent. ``spared``: the app was not asked at all."""
        traffic.hit_bytes += self.size
        if spared:
            traffic.saved += stored.response_time - stored.request_time
            traffic.collapsed += self.collapsed
            traffic.stale += self.now >= stored.fresh_until

    async def reply(self, stored: StoredResponse, status: bytes) -> None:
        served = response_for(self.request, stored, self.now, self.cache.policy)
        edge = stored.edge if served.status != 304 else ()  # which has them already
        headers: HeaderList = [*served.headers, *edge, (b"cache-status", status)]
        await self.send_message({"type": "http.response.start", "status": served.status, "headers": headers})
        await self.send_message({"type": "http.response.body", "body": served.body})
        self.size = len(served.body)

    async def _refuse(self) -> None:
        """504 for only-if-cached without a suitable response (RFC 9111 §5.2.1.7)."""
        status = cache_status.forwarded(self.fwd, detail=self.detail)
        headers: HeaderList = [(b"content-length", b"0"), (b"cache-status", status)]
        await self.send_message({"type": "http.response.start", "status": 504, "headers": headers})
        await self.send_message({"type": "http.response.body", "body": b""})
        self.status = 504
        self._recorder().origin(perf_counter() - self.started, 504, self.detail)

    async def answer_instead(self) -> None:
        if self.asking == "complete":
            await self._completed()
        elif self.asking == "validate" and self.status == 304:
            await self._confirmed()
        elif self.asking == "select":
            await self._chosen()
        else:
            await self._stand_in()

    async def _confirmed(self) -> None:
        """The app said 304 to our validators: the stored response is good again, and answers the client."""
        assert self.stored is not None
        asked, self.now = self.now, time.time()
        await self._answer_with(self._freshened(self.stored, asked), 304)

    def _freshened(self, stored: StoredResponse, asked: float, *, selecting: bool = False) -> Storing | None:
        return freshen(
            stored,
            ResponseHead(304, self.withheld or []),
            request=self.request,
            request_time=asked,
            response_time=self.now,
            policy=self.cache.policy,
            rule=self.rule,
            selecting=selecting,
        )

    async def _chosen(self) -> None:
        """The app named one of the other variants: it is good again, and answers this request too."""
        assert self.key is not None
        asked, self.now = self.now, time.time()
        etag = ResponseHead(304, self.withheld or []).fields.get(b"etag")
        found = await self.cache.store.tagged(self.key, etag) if etag is not None else []
        if etag is not None and not etag.startswith(b"W/"):
            for stored in found:  # a strong tag identifies each of them (section 4.3.4)
                renewed = self._freshened(stored, asked)
                if renewed is not None and renewed.stored is not None and renewed.store:
                    await self.store(renewed.stored, self.cache.store.tags_of(self.key, stored))
        self.stored = found[0] if found else None
        verdict = self._freshened(found[0], asked, selecting=True) if found else None
        await self._answer_with(verdict, 304)

    async def _answer_with(self, verdict: Storing | None, fwd_status: int) -> None:
        """Keep what has become of the stored response, and answer with it."""
        if verdict is None or verdict.stored is None or self.stored is None:
            await self._ask_again()
            return
        if verdict.store and self.key is not None:
            await self.store(verdict.stored, self.cache.store.tags_of(self.key, self.stored))
        if self.flight is not None:
            self.flight.done("stored" if verdict.store else "uncacheable")
        status = cache_status.forwarded(
            self.fwd, fwd_status=fwd_status, stored=verdict.store, detail=self.detail
        )
        await self.serve(verdict.stored, status=status)

    async def on_part(self, body: bytes) -> None:
        assert self.stored is not None
        self.part = completed(
            self.stored,
            self._head(self.withheld or []),
            body,
            request=self.request,
            request_time=self.now,
            response_time=time.time(),
            policy=self.cache.policy,
            rule=self.rule,
        )

    async def _completed(self) -> None:
        self.now = time.time()
        await self._answer_with(self.part, 206)

    async def _stand_in(self) -> None:
        """The app failed: the stale response answers (RFC 5861 section 4, RFC 9111 section 4.2.4)."""
        assert self.stored is not None
        if self.flight is not None:
            self.flight.done("stale")
        self.now = time.time()
        ttl = int(self.stored.fresh_until - self.now)
        status = cache_status.forwarded("stale", fwd_status=self.status, ttl=ttl, detail="stale-if-error")
        await self.reply(self.stored, status)
        recorder = self.cache.recorder(self.stored.route)
        recorder.origin(perf_counter() - self.started, self.status, "stale-if-error")
        recorder.traffic.hit_bytes += self.size
        recorder.traffic.stale += 1
        self.name = self.stored.route

    async def _ask_again(self) -> None:
        """What the app said was about another response than ours: ask without conditions."""
        headers = [field for field in self.scope["headers"] if field[0] not in _OURS]
        scope = {**self.scope, "headers": headers}
        again = type(self)(self.cache, scope, self.receive_message, self.send_message, self.started, self.now)
        again.key, again.rule, again.fwd, again.detail = self.key, self.rule, self.fwd, self.detail
        again.known, again.flight = self.known, self.flight
        await again.forward()
        self.name = again.name
