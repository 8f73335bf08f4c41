"""One call of a cached function: what both sync and async functions do with it."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from perfmw.cache.entries import Entry
from perfmw.cache.failures import Failure
from perfmw.cache.functions.callspec import CallSpec
from perfmw.cache.isolation import isolate, release
from perfmw.cache.memo import Memo, Noted, current_memo
from perfmw.cache.scope import Scope
from perfmw.cache.sizes import size_of

logger = logging.getLogger(__name__)

MISSING: Any = object()
"""In place of a value where there is none."""


class Call:
    """One call, bound to its key. Whoever makes it goes from ``recall`` to ``found`` to a ``Fill``."""

    __slots__ = ("args", "cache", "key", "kwargs", "memo", "scope", "spec")

    def __init__(
        self, spec: CallSpec, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self.spec = spec
        self.scope = scope
        self.cache = scope.cache
        self.args = args
        self.kwargs = kwargs
        self.key = spec.key(args, kwargs)
        self.memo: Memo | None = current_memo() if spec.options.memo else None

    def remembered(self) -> Any:
        """The caller's copy of what the request got before, or MISSING."""
        noted = None if self.memo is None else self.memo.get(self.key)
        if noted is None or not self.cache.tags.admits(self.key, noted.tags, noted.epoch):
            return MISSING
        value = released(noted.value)
        if value is not MISSING:
            self.spec.memo_hits += 1
        return value

    def found(self, entry: Entry | None) -> Result | None:
        """What an entry of the cache holds; None without one, or when it cannot be rebuilt.

        :raises Exception: what the function raised, where exceptions are kept.
        """
        value = MISSING if entry is None else released(entry.value)
        if entry is None or value is MISSING:
            return None
        self.spec.hits += 1
        if self.memo is not None:
            self.memo.note(self.key, Noted(entry.value, entry.epoch, entry.tags))
        return Result(self, value, entry.value, entry.epoch)

    def shared(self, result: Result) -> Any:
        """The caller's own copy of another's result; MISSING when it was invalidated meanwhile."""
        if not self.cache.tags.admits(self.key, result.call.tags(), result.epoch):
            return MISSING
        value = released(result.kept)
        if value is not MISSING:
            self.spec.coalesced += 1
            if self.memo is not None:
                self.memo.note(self.key, Noted(result.kept, result.epoch, self.tags()))
        return value

    def tags(self) -> tuple[str, ...]:
        """Raises what a template raises that reaches for what is not there."""
        return self.spec.tags(self.args, self.kwargs)


class Result:
    """A result as its finder hands it to those who wait: each makes a copy of its own of ``kept``.

    ``epoch`` is when computing it began, ``kept`` MISSING when it cannot be kept.
    """

    __slots__ = ("call", "epoch", "kept", "value")

    def __init__(self, call: Call, value: Any, kept: Any, epoch: int) -> None:
        self.call = call
        self.value = value
        self.kept = kept
        self.epoch = epoch


class Fill:
    """A result being computed. Around the function it counts what is raised, and keeps it where asked to."""

    __slots__ = ("_began", "_call", "_epoch")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._epoch = call.cache.tags.now()
        self._began = time.perf_counter()

    def __enter__(self) -> Fill:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self._failed(as_raised(error))

    def _failed(self, error: Exception) -> None:
        call = self._call
        call.spec.errors += 1
        lifetime, tags = call.spec.options.errors, self._tags()
        if lifetime and tags is not None and call.cache.get_nowait(call.key) is None:
            call.cache.put_nowait(call.key, Failure(error), ttl=lifetime, tags=tags, epoch=self._epoch)

    def finished(self, value: Any) -> tuple[Result, dict[str, Any] | None]:
        """The result, and the arguments of ``put`` for it; None when it is not to be kept."""
        call = self._call
        tags, lifetime = self._tags(), self._lifetime(value)
        kept = MISSING if tags is None else self._isolated(value)
        result = Result(call, value, kept, self._epoch)
        if kept is MISSING or tags is None or (lifetime is not None and not lifetime > 0):
            return result, None
        if call.memo is not None:
            call.memo.note(call.key, Noted(kept, self._epoch, tags))
        cost, size = time.perf_counter() - self._began, size_of(kept)
        call.spec.filled(cost, size)
        stale = call.spec.options.stale
        options = {"ttl": lifetime, "tags": tags, "cost": cost, "size": size, "grace": stale}
        return result, {"epoch": self._epoch, **options}

    def _isolated(self, value: Any) -> Any:
        if inspect.isawaitable(value) or inspect.isgenerator(value) or inspect.isasyncgen(value):
            if inspect.iscoroutine(value):
                value.close()  # nobody will await it
            raise TypeError(
                f"{self._call.spec.name} returned a {type(value).__name__}, which can be used only once; "
                f"cache the function that makes the result itself"
            )
        try:
            return isolate(value)
        except TypeError as error:
            return self._not_kept(error)

    def _tags(self) -> tuple[str, ...] | None:
        """None where they cannot be told: what cannot be invalidated is not kept."""
        try:
            return self._call.tags()
        except Exception as error:
            return self._not_kept(error, None)  # type: ignore[no-any-return]

    def _lifetime(self, value: Any) -> float | None:
        """What the host's own ``ttl`` and ``condition`` say; their exceptions are not the caller's."""
        try:
            return self._call.spec.lifetime(value)
        except Exception as error:
            return self._not_kept(error, 0.0)  # type: ignore[no-any-return]

    def _not_kept(self, error: Exception, instead: Any = MISSING) -> Any:
        logger.warning("@cached %s: its result is not kept: %r", self._call.spec.name, error)
        return instead


def as_raised(error: Exception) -> Exception:
    """What a function that is not async raised: Python makes a coroutine's StopIteration a RuntimeError."""
    cause = error.__cause__
    if isinstance(cause, StopIteration) and error.args == ("coroutine raised StopIteration",):
        return cause
    return error


def released(kept: Any) -> Any:
    """The caller's own copy; MISSING when a class no longer accepts what it once gave.

    :raises Exception: what the function raised, where exceptions are kept.
    """
    if type(kept) is Failure:
        raise kept.error()
    try:
        return release(kept)
    except Exception as error:
        logger.debug("a kept value cannot be rebuilt: %r", error)
        return MISSING
