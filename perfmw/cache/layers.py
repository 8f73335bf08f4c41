"""One layer beyond this process's memory, made harmless: late, broken or damaged is a miss."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiocache.base import BaseCache

from perfmw.cache.breaker import Breaker
from perfmw.cache.bulletin import Bulletin, as_number, fetched
from perfmw.cache.entries import Entry, decode_entry, encode_entry, from_text, to_text
from perfmw.contracts import CacheLayerInfo, Codec

logger = logging.getLogger(__name__)
T = TypeVar("T")

FOR_EVER = 30 * 86_400
"""Seconds that an entry without expiry lives in a far layer: no key there is without a TTL."""

TAG_PREFIX = "perfmw-tag:"
"""Before the tag, in keys that say when it was invalidated."""
BOARD = "perfmw-purges"
"""The notices of purges by prefix, and of soft ones: every read of an entry heeds them."""
NEWS = "perfmw-news"
"""The notices of all other invalidations, for what other processes hold in memory."""
COUNT_PREFIX = "perfmw-count:"
"""Before the name, in keys of counts that processes have in common."""
_MOST_UNSAID = 10_000
_MOST_COMPLAINTS = 20
_OWN_KEYS = (TAG_PREFIX, BOARD, NEWS, COUNT_PREFIX)

_PROBE = b"PMW1\x00\xff\xfe\x80 probe"


@dataclass(slots=True)
class Marks:
    """What a far layer says of invalidations: the number of the last notice, and epochs by tag."""

    head: int
    tags: dict[str, int]


class FarLayer:
    """An aiocache backend as a place for entries. No method raises what the backend raises.

    Its public methods are called, so that it keeps its namespace, serializer and timeout. One that fails or
    is late a few times in a row is skipped; whether it is back is found out in the background, so that no
    request waits for it again before it answers.

    :param deadline: seconds after which an operation counts as failed.
    :param codec: compresses or encrypts what is stored.
    :raises ValueError: when the layer's serializer carries neither bytes nor text.
    """

    def __init__(
        self,
        name: str,
        cache: BaseCache,
        *,
        deadline: float = 0.25,
        codec: Codec | None = None,
        breaker: Breaker | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.cache = cache
        self.deadline = deadline
        self._codec = codec
        self._breaker = breaker or Breaker()
        self._monotonic = monotonic
        self._text = carries_text_only(name, cache)
        self.hits = self.misses = self.errors = self.skipped = 0
        self.last_error = ""
        """What went wrong last; see also the log."""
        self.board = Bulletin(BOARD, cache, self._call, size=2048, ttl=FOR_EVER, monotonic=monotonic)
        self.news = Bulletin(NEWS, cache, self._call, size=1024, ttl=FOR_EVER, monotonic=monotonic)
        self._probe: asyncio.Task[None] | None = None
        self._complaints: set[str] = set()
        self._unsaid: dict[tuple[str, str, bool], int] = {}
        """Invalidations that the layer could not be told, by kind, name and softness: their epochs."""
        self.fills = self.hit_bytes = self.invalidations = 0
        self.record: Callable[[float], None] = _untold
        """Told the seconds of every read that reached the layer."""
        self.trusted_since = 0
        """Entries whose fill began before this epoch may have missed an invalidation."""

    async def get(self, key: str) -> Entry | None:
        skipped, began = self.skipped, time.perf_counter()
        data = await self._call(self.cache.get, key)
        if self.skipped == skipped:
            self.record(time.perf_counter() - began)
        entry = None if data is None else self.decode(key, data)
        if entry is None or entry.epoch < self.trusted_since:
            self.misses += 1
            return None
        self.hits += 1
        self.hit_bytes += _length(data)
        return entry

    async def peek(self, key: str) -> Entry | None:
        """``get`` that is not counted."""
        data = await self._call(self.cache.get, key)
        return None if data is None else self.decode(key, data)

    async def put(self, key: str, entry: Entry, now: float) -> bool:
        return await self.write(key, entry, now) is True

    async def write(self, key: str, entry: Entry, now: float) -> bool | None:
        """Whether it was stored; None when the layer failed, so that it may be tried again."""
        remaining = entry.remaining(now)
        ttl = FOR_EVER if remaining is None else min(FOR_EVER, math.ceil(remaining))
        if ttl < 1:
            return False
        data = self._encode(key, entry)
        if data is None:
            return False
        stored = await self._call(self.cache.set, key, data, ttl=ttl)
        kept = stored is not None and stored is not False
        self.fills += kept
        return None if stored is None else kept

    async def delete(self, key: str, epoch: int) -> int:
        """How many were deleted. When it cannot be done, everything from before ``epoch`` is distrusted."""
        deleted = await self._call(self.cache.delete, key)
        if deleted is None:
            self._remember("key", (key,), epoch)
            return 0
        self.invalidations += int(deleted)
        return int(deleted)

    async def count(self, key: str, by: int, ttl: float) -> int | None:
        """Raise a count that all share, which lives ``ttl`` seconds; None when it cannot be done."""
        count = await self._call(self.cache.increment, COUNT_PREFIX + key, by)
        if count == by:
            await self._call(self.cache.expire, COUNT_PREFIX + key, ttl)
        return count

    async def mark(self, tags: Iterable[str], epoch: int) -> None:
        """Leave word, for other processes and for later ones, that ``tags`` were invalidated at ``epoch``."""
        for tag in tags:
            if await self._call(self.cache.set, TAG_PREFIX + tag, str(epoch), ttl=FOR_EVER) is None:
                self._remember("tag", (tag,), epoch)

    async def notify(self, kind: str, names: Sequence[str], epoch: int, *, soft: bool = False) -> None:
        """Leave notices of what every reader must heed: purges by prefix, and soft ones."""
        if not await self.board.post(kind, names, epoch, soft=soft):
            self._remember(kind, names, epoch, soft)

    async def make_up(self) -> None:
        """Leave notices of the invalidations that the layer could not be told while it was down.

        This process distrusts what is older anyway; the others cannot know.
        """
        unsaid, self._unsaid = self._unsaid, {}
        kinds = sorted({(kind, soft) for kind, _, soft in unsaid})
        for kind, soft in kinds:
            names = [name for one, name, mild in unsaid if (one, mild) == (kind, soft)]
            epoch = max(unsaid[kind, name, soft] for name in names)
            await self.notify(kind, names, epoch, soft=soft)

    def _remember(self, kind: str, names: Iterable[str], epoch: int, soft: bool = False) -> None:
        """What could not be told: older entries are distrusted here, and others will be told."""
        self.trusted_since = max(self.trusted_since, epoch)
        for name in names:
            self._unsaid[kind, name, soft] = epoch
        if len(self._unsaid) > _MOST_UNSAID:
            self._unsaid = {("prefix", "", False): epoch}  # everything, in one word

    async def tell(self, tags: Sequence[str], keys: Sequence[str], epoch: int) -> None:
        """Leave notices for what other processes hold in memory. Whoever reads the layer needs none."""
        await self.news.post("tag", tags, epoch)
        await self.news.post("key", keys, epoch)

    async def heads(self) -> list[tuple[Bulletin, int]]:
        """Each board and the number of its last notice; nothing when that cannot be found out."""
        boards = (self.board, self.news)
        answers = await self._call(self.cache.multi_get, [board.name for board in boards])
        numbers = [as_number(answer) for answer in answers or ()]
        return [(board, head) for board, head in zip(boards, numbers, strict=False) if head is not None]

    async def marks(self, tags: Sequence[str]) -> Marks | None:
        """When each of ``tags`` was last invalidated by anybody; None when that cannot be found out."""
        if not tags:
            head = await self.board.head()
            return None if head is None else Marks(head, {})
        answers = await self._call(self.cache.multi_get, [BOARD, *(TAG_PREFIX + tag for tag in tags)])
        head = None if answers is None else as_number(answers[0])
        if answers is None or head is None:
            return None
        try:
            known = {tag: int(at) for tag, at in zip(tags, answers[1:], strict=True) if at is not None}
        except (TypeError, ValueError):
            return None
        return Marks(head, known)

    async def close(self) -> None:
        if self._probe is not None and not self._probe.done():
            self._probe.cancel()
        try:
            await self.cache.close()
        except Exception as error:
            logger.warning("cache layer %r did not close: %r", self.name, error)

    def info(self) -> CacheLayerInfo:
        return CacheLayerInfo(
            name=self.name,
            kind=str(getattr(self.cache, "NAME", type(self.cache).__name__)),
            hits=self.hits,
            misses=self.misses,
            errors=self.errors + int(getattr(getattr(self.cache, "file", None), "errors", 0)),
            bytes=getattr(self.cache, "bytes", None),
            max_bytes=getattr(self.cache, "max_bytes", None),
            evictions=int(getattr(self.cache, "evictions", 0)),
            fills=self.fills,
            hit_bytes=self.hit_bytes,
            expirations=getattr(self.cache, "expirations", None),
            invalidations=self.invalidations,
            skipped=self.skipped,
            available=self.available,
        )

    @property
    def in_arrears(self) -> bool:
        """Whether it is there and has yet to be told of invalidations."""
        return bool(self._unsaid) and self.available

    @property
    def available(self) -> bool:
        """False while the circuit breaker skips the layer."""
        return not self._breaker.open

    async def _call(self, operation: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T | None:
        """The operation's answer; None when it failed, was late, or the layer is being skipped."""
        if self._breaker.open:
            self.skipped += 1
            self._look_after_it()
            return None
        return await self._attempt(operation, *args, **kwargs)

    async def _attempt(self, operation: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T | None:
        try:
            async with asyncio.timeout(self.deadline):
                answer = await operation(*args, **kwargs)
        except Exception as error:  # whatever a backend raises, the host app must not see it
            self._failed(error)
            return None
        self._breaker.succeeded()
        return answer

    def _look_after_it(self) -> None:
        """Ask in the background whether the layer is back, when it is time to."""
        if self._breaker.allows(self._monotonic()) and (self._probe is None or self._probe.done()):
            self._probe = asyncio.get_running_loop().create_task(
                self._ask(), name=f"perfmw-probe-{self.name}"
            )

    async def _ask(self) -> None:
        await self._attempt(fetched, self.cache, "perfmw-probe")
        if not self._breaker.open:
            logger.warning("cache layer %r is back", self.name)
            await self.make_up()

    def _failed(self, error: Exception) -> None:
        self.errors += 1
        self.last_error = str(error) or type(error).__name__
        was_open = self._breaker.open
        self._breaker.failed(self._monotonic())
        if self._breaker.open and not was_open:
            logger.warning("cache layer %r fails and is skipped for a while: %r", self.name, error)

    def _encode(self, key: str, entry: Entry) -> Any:
        try:
            data = encode_entry(entry)
            if self._codec is not None:
                data = self._codec.encode(data, self._context(key) | {"expires_at": entry.expires_at})
        except Exception as error:
            self.errors += 1
            self.last_error = str(error)
            self._complain(self.last_error)
            return None
        return to_text(data) if self._text else data

    def _complain(self, why: str) -> None:
        """Once of each reason: what cannot be stored here will be computed again and again."""
        if why not in self._complaints and len(self._complaints) < _MOST_COMPLAINTS:
            self._complaints.add(why)
            logger.warning("entries of a kind cannot go to cache layer %r: %s", self.name, why)

    def decode(self, key: str, stored: Any) -> Entry | None:
        data = from_text(stored) if self._text else stored
        if data is None:
            return None
        try:
            if self._codec is not None:
                data = self._codec.decode(data, self._context(key))
        except Exception as error:
            self.errors += 1
            logger.debug("damaged entry in cache layer %r: %r", self.name, error)
            return None
        return decode_entry(data)

    def _context(self, key: str) -> dict[str, Any]:
        return {"key": key, "layer": self.name}


def _untold(seconds: float) -> None:
    """Nobody wants to know how long reads take."""


def _length(found: Any) -> int:
    return len(found) if isinstance(found, (bytes, str)) else 0


def is_own_key(key: str) -> bool:
    """Whether perfmw keeps something about invalidations under ``key``, and no entry."""
    return key.startswith(_OWN_KEYS)


def carries_text_only(name: str, cache: BaseCache) -> bool:
    """Whether a layer's serializer loses bytes but carries text, found by trying both.

    :raises ValueError: when it carries neither.
    """
    if _survives(cache, _PROBE):
        return False
    if _survives(cache, to_text(_PROBE)):
        return True
    serializer = type(cache.serializer).__name__
    raise ValueError(f"cache layer {name!r}: its serializer {serializer} carries neither bytes nor text")


def _survives(cache: BaseCache, value: bytes | str) -> bool:
    """Dump and load as a backend would that keeps bytes, and decodes them when told an encoding."""
    serializer = cache.serializer
    try:
        stored = serializer.dumps(value)
        wire = stored.encode() if isinstance(stored, str) else bytes(stored)
        encoding = serializer.encoding
        return bool(serializer.loads(wire if encoding is None else wire.decode(encoding)) == value)
    except Exception:
        return False
