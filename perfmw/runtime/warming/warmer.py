"""One warm-up: candidates in, questions asked at a bearable rate, and what came of each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from perfmw.runtime.warming.admission import Admission

Outcome = Literal["stored", "fresh", "refused", "failed"]
FAILURES_IN_A_ROW: Final = 20
"""Failures one after the other, none of them in between, after which a warm-up gives up."""
_EXAMPLES: Final = 10


class Answer(NamedTuple):
    """What came of one question. ``reason``: why nothing was stored, as Cache-Status says, or the failure."""

    outcome: Outcome
    reason: str = ""
    status: int = 0
    size: int = 0
    body: bytes = b""


Ask = Callable[[str], Awaitable[Answer]]


@dataclass(slots=True, kw_only=True)
class Bounds:
    """How much a warm-up may do: URLs, seconds in all, seconds each, at a time, and a second."""

    limit: int = 1_000
    seconds: float = 300.0
    each: float = 30.0
    concurrency: int = 4
    rate: float = 50.0


@dataclass(slots=True)
class WarmUpResult:
    """What a warm-up did. ``refused``, ``failed`` and ``skipped`` count by reason.

    ``fresh`` were there already; ``skipped`` were not asked for. ``stopped`` says why it ended before its
    sources did: ``limit``, ``time``, ``failures`` or ``cancelled``.
    """

    stored: int = 0
    fresh: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    seconds: float = 0.0
    stopped: str = ""
    problems: list[str] = field(default_factory=list)
    examples: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def asked(self) -> int:
        return self.stored + self.fresh + self.refused.total() + self.failed.total()

    def note(self, url: str, answer: Answer) -> None:
        if answer.outcome == "stored":
            self.stored += 1
            self.bytes += answer.size
        elif answer.outcome == "fresh":
            self.fresh += 1
        else:
            counts = self.refused if answer.outcome == "refused" else self.failed
            counts[answer.reason] += 1
            if len(self.examples) < _EXAMPLES:
                self.examples.append((url, answer.outcome, answer.reason))

    def as_data(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "asked": self.asked,
            "stored": self.stored,
            "fresh": self.fresh,
            "refused": dict(self.refused.most_common()),
            "failed": dict(self.failed.most_common()),
            "skipped": dict(self.skipped.most_common()),
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "stopped": self.stopped,
            "problems": list(self.problems),
            "examples": [
                {"url": url, "outcome": outcome, "reason": reason} for url, outcome, reason in self.examples
            ],
        }


class Warmer:
    """Asks for what ``admission`` lets through, within ``bounds``.

    :param result: what is kept up to date while it runs.
    :param progress: called after every answer.
    """

    def __init__(
        self,
        ask: Ask,
        admission: Admission,
        bounds: Bounds | None = None,
        result: WarmUpResult | None = None,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.result = WarmUpResult() if result is None else result
        self._ask = ask
        self._admission = admission
        self._bounds = bounds or Bounds()
        self._progress = progress
        self._taken = 0
        self._in_a_row = 0
        self._next_at = 0.0
        self._taking = asyncio.Lock()

    async def run(self, candidates: AsyncIterator[str]) -> WarmUpResult:
        """Ask for all candidates, or as many as the bounds allow. A cancellation leaves the result so far.

        :param candidates: URLs and paths; where one comes from something that fails, it says so in the
            result's ``problems`` and goes on.
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._bounds.seconds), asyncio.TaskGroup() as group:
                for _ in range(self._bounds.concurrency):
                    group.create_task(self._work(candidates))
        except TimeoutError:
            self.result.stopped = "time"
        except asyncio.CancelledError:
            self.result.stopped = "cancelled"
            raise
        finally:
            self.result.seconds = time.monotonic() - began
        return self.result

    async def _work(self, candidates: AsyncIterator[str]) -> None:
        while (url := await self._next(candidates)) is not None:
            answer = await self._answer(url)
            self._in_a_row = self._in_a_row + 1 if answer.outcome == "failed" else 0
            self.result.note(url, answer)
            self._progress()

    async def _next(self, candidates: AsyncIterator[str]) -> str | None:
        """The next URL, when it is time for it; None when there is none, or it is enough."""
        async with self._taking:
            while not self.result.stopped:
                if self._in_a_row >= FAILURES_IN_A_ROW:
                    self.result.stopped = "failures"
                    break
                candidate = await anext(candidates, None)
                if candidate is None:
                    return None
                url, reason = self._admission.admit(candidate)
                if reason:
                    self.result.skipped[reason] += 1
                elif self._taken >= self._bounds.limit:
                    self.result.stopped = "limit"
                else:
                    self._taken += 1
                    await self._pace()
                    return url
            return None

    async def _pace(self) -> None:
        """Not more than the rate allows; time in which nothing was asked is not made up for."""
        now = time.monotonic()
        wait = self._next_at - now
        self._next_at = max(now, self._next_at) + 1.0 / self._bounds.rate
        await asyncio.sleep(max(0.0, wait))

    async def _answer(self, url: str) -> Answer:
        try:
            async with asyncio.timeout(self._bounds.each):
                return await self._ask(url)
        except TimeoutError:
            return Answer("failed", "timeout")
        except Exception as error:
            return Answer("failed", f"raised {type(error).__name__}")
