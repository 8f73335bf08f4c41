"""Send the requests of a log to one or two servers, compare the answers and count what happened."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from perfmw.cli.accesslog import LogEntry
from perfmw.cli.wire import WireClient, WireError, WireResponse

REPLAYED_METHODS = ("GET", "HEAD")
_COMPARED = (b"content-type", b"content-encoding", b"content-length", b"etag", b"last-modified", b"location")
_MAX_EXAMPLES = 10
_MAX_VALIDATORS = 100_000


@dataclass(slots=True)
class Course:
    """What one server did. ``seconds`` has one latency a request, to the last byte of its answer."""

    seconds: array[float] = field(default_factory=lambda: array("d"))
    bytes: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    def note(self, response: WireResponse, seconds: float) -> None:
        self.seconds.append(seconds)
        self.bytes += response.size
        self.statuses[response.status] += 1


def quantiles(seconds: Iterable[float], wanted: Sequence[float]) -> list[float]:
    """The values at these quantiles (nearest rank), NaN when there are none."""
    ordered = sorted(seconds)
    if not ordered:
        return [float("nan")] * len(wanted)
    return [ordered[min(int(q * len(ordered)), len(ordered) - 1)] for q in wanted]


@dataclass(slots=True)
class ReplayResult:
    """The counts of a replay. ``outcomes`` counts the words of Cache-Status, ``none`` where it lacked."""

    sent: int = 0
    other_methods: int = 0
    errors: int = 0
    mismatches: int = 0
    hit_bytes: int = 0
    elapsed: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    through: Course = field(default_factory=Course)
    beside: Course = field(default_factory=Course)
    error_examples: list[str] = field(default_factory=list)
    mismatch_examples: list[str] = field(default_factory=list)

    @property
    def hit_rate(self) -> float | None:
        answered = self.outcomes.total()
        return self.outcomes["hit"] / answered if answered else None

    @property
    def byte_hit_rate(self) -> float | None:
        return self.hit_bytes / self.through.bytes if self.through.bytes else None

    @property
    def failed(self) -> bool:
        return bool(self.errors or self.mismatches)

    def note_error(self, entry: LogEntry, reason: str) -> None:
        self.errors += 1
        if len(self.error_examples) < _MAX_EXAMPLES:
            self.error_examples.append(f"{entry.method} {entry.target[:200]}: {reason}")

    def note_mismatch(self, entry: LogEntry, reason: str) -> None:
        self.mismatches += 1
        if len(self.mismatch_examples) < _MAX_EXAMPLES:
            self.mismatch_examples.append(f"{entry.method} {entry.target[:200]}: {reason}")


def cache_outcome(response: WireResponse) -> str:
    """The word of the nearest cache's Cache-Status (RFC 9211): ``hit``, or why it forwarded."""
    fields = b", ".join(response.all(b"cache-status")).decode("latin-1")
    if not fields:
        return "none"
    _, *parameters = [part.strip() for part in fields.rsplit(",", 1)[-1].split(";")]
    if "hit" in parameters:
        return "hit"
    forwarded = (part[4:] for part in parameters if part.startswith("fwd="))
    return next(forwarded, parameters[0] if parameters else "none")


def difference(one: WireResponse, other: WireResponse) -> str | None:
    """What differs between two answers to the same request, None when they are equal.

    Fields that describe the delivery (Date, Age, Connection, Cache-Status …) may differ.
    """
    if one.status != other.status:
        return f"status {one.status} instead of {other.status}"
    if (one.size, one.digest) != (other.size, other.digest):
        return f"another body ({one.size:,} instead of {other.size:,} bytes)"
    for name in _COMPARED:
        if one.all(name) != other.all(name):
            return f"{name.decode()} {one.all(name)} instead of {other.all(name)}"
    return None


class Replay:
    """Replays log entries through one server, and beside it through a second one to compare.

    :param through: the server whose cache is looked at.
    :param beside: the server without perfmw, or None.
    :param speed: how many times faster than logged; None sends as fast as the answers come.
    :param progress: called after every request.
    """

    def __init__(
        self,
        through: WireClient,
        beside: WireClient | None = None,
        *,
        speed: float | None = None,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.result = ReplayResult()
        self._through = through
        self._beside = beside
        self._speed = speed
        self._progress = progress
        self._validators: dict[str, list[tuple[bytes, bytes]]] = {}

    async def run(self, entries: Iterator[LogEntry], concurrency: int) -> ReplayResult:
        """Send all of ``entries`` in their order, ``concurrency`` at a time."""
        started = perf_counter()
        schedule = _Schedule(entries, self._speed)
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(self._work(schedule))
        self.result.elapsed = perf_counter() - started
        return self.result

    async def _work(self, schedule: _Schedule) -> None:
        while (entry := await schedule.next()) is not None:
            if entry.method in REPLAYED_METHODS:
                await self._replay(entry)
            else:
                self.result.other_methods += 1
            self._progress()

    async def _replay(self, entry: LogEntry) -> None:
        headers = self._headers(entry)
        self.result.sent += 1
        try:
            other = None
            if self._beside is not None:
                other = await self._ask(self._beside, self.result.beside, entry, headers)
            response = await self._ask(self._through, self.result.through, entry, headers)
        except WireError as error:
            self.result.note_error(entry, str(error))
            return
        self._judge(entry, response, other)
        self._remember(entry.target, other or response)

    @staticmethod
    async def _ask(
        client: WireClient, course: Course, entry: LogEntry, headers: list[tuple[bytes, bytes]]
    ) -> WireResponse:
        started = perf_counter()
        response = await client.request(entry.method, entry.target, headers)
        course.note(response, perf_counter() - started)
        return response

    def _judge(self, entry: LogEntry, response: WireResponse, other: WireResponse | None) -> None:
        result = self.result
        outcome = cache_outcome(response)
        result.outcomes[outcome] += 1
        if outcome == "hit":
            result.hit_bytes += response.size
        expected = other.status if other is not None else entry.status
        if response.status >= 500 and expected < 500:
            result.note_error(entry, f"answered {response.status}")
        elif other is not None and (reason := difference(response, other)):
            result.note_mismatch(entry, reason)

    def _headers(self, entry: LogEntry) -> list[tuple[bytes, bytes]]:
        """The client's known fields; a request once answered 304 asks conditionally again."""
        headers = [
            (name, value.encode("latin-1", "replace"))
            for name, value in ((b"user-agent", entry.agent), (b"referer", entry.referrer))
            if value and value.isprintable()
        ]
        return headers + self._validators.get(entry.target, []) if entry.status == 304 else headers

    def _remember(self, target: str, response: WireResponse) -> None:
        if response.status != 200 or target in self._validators or len(self._validators) >= _MAX_VALIDATORS:
            return
        wanted = ((b"if-none-match", b"etag"), (b"if-modified-since", b"last-modified"))
        found = [(name, value) for name, own in wanted if (value := response.header(own))]
        if found:
            self._validators[target] = found


class _Schedule:
    """Hands entries to the workers one by one, no earlier than their time."""

    def __init__(self, entries: Iterator[LogEntry], speed: float | None) -> None:
        self._entries = entries
        self._speed = speed
        self._first: float | None = None
        self._started = 0.0

    async def next(self) -> LogEntry | None:
        entry = next(self._entries, None)
        if entry is not None and self._speed is not None:
            await self._until_due(entry.time, self._speed)
        return entry

    async def _until_due(self, logged: float, speed: float) -> None:
        if self._first is None:
            self._first, self._started = logged, perf_counter()
        delay = self._started + (logged - self._first) / speed - perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
