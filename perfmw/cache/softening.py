"""Soft purges: what was purged softly is stale from then on, and served only as what is stale may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from perfmw.cache.entries import Entry

Softener = Callable[[Any, float], Any]

_softeners: dict[type, Softener] = {}


def register_softener(cls: type, soften: Softener) -> None:
    """Say what becomes of values of ``cls`` that know by themselves when they are stale.

    :param soften: the value and the unix time of the purge -> the value as it is to be kept.
    """
    _softeners[cls] = soften


def softened(entry: Entry, epoch: int, now: float) -> Entry:
    """The entry after a soft purge at ``epoch`` (nanoseconds of unix time), as of ``now`` (its seconds).

    A value with a softener stays as long as it would have stayed; any other ends ``entry.grace`` seconds
    after the purge, which is at once unless whoever stored it said that it may be served stale.
    """
    at = min(epoch / 1e9, now)  # epochs are pushed on where the clock stands still
    soften = _softeners.get(type(entry.value))
    if soften is not None:
        return replace(entry, value=soften(entry.value, at), soft=epoch)
    end = at + entry.grace
    expires_at = end if entry.expires_at is None else min(end, entry.expires_at)
    return replace(entry, expires_at=expires_at, soft=epoch)
