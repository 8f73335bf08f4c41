"""Looking into the caches of a running process: which keys there are, and what is kept under one.

Whoever may see this may still not be meant to see what belongs to a visitor: values that are secrets by their
name are hidden unless asked for, in headers, in query strings and in what a response varies on.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from perfmw.cache.isolation import release
from perfmw.cache.layers import is_own_key
from perfmw.cache.spaces import layer_name
from perfmw.http.messages import StoredResponse
from perfmw.http.variants import VariantIndex
from perfmw.runtime.redaction import HIDDEN, hidden, is_secret, shown_field

if TYPE_CHECKING:
    from perfmw.cache import Entry, TieredCache
    from perfmw.cache.layers import FarLayer
    from perfmw.runtime.runtime import Runtime

_PREVIEW = 2_000
MOST_KEYS: Final = 10_000
"""That are looked through in a layer."""


async def list_keys(
    runtime: Runtime,
    prefix: str = "",
    limit: int = 100,
    *,
    offset: int = 0,
    reveal: bool = False,
    heed: bool = False,
) -> list[dict[str, Any]]:
    """At most ``limit`` keys that begin so, in order, each with the layers that hold it; JSON values.

    Layers that cannot list what they hold, such as those of plugins, are left out, and so is what was
    invalidated and only waits to be removed.

    :param heed: ask the layers what others invalidated, as a reader would; a process that runs knows anyway.
    """
    holders = await _holders(runtime, _full(prefix))
    rows: list[dict[str, Any]] = []
    for key in sorted(holders):
        if len(rows) == offset + limit:
            break
        if await _find(runtime, key, heed) is not None:
            rows.append({"key": key if reveal else hidden(key), "layers": holders[key]})
    return rows[offset:]


async def _holders(runtime: Runtime, prefix: str) -> dict[str, list[str]]:
    """By key, among the first that begin so, the layers that hold it."""
    found: dict[str, list[str]] = {}
    for space, cache in runtime.spaces.caches.items():
        for name, keys in await _keys_of(cache, prefix):
            for key in keys:
                found.setdefault(key, []).append(layer_name(space, name))
    return found


async def _find(runtime: Runtime, key: str, heed: bool) -> tuple[str, Entry] | None:
    """The namespace that has a valid entry, and the entry."""
    for space, cache in runtime.spaces.caches.items():
        entry = await (cache.get_entry(key) if heed else cache.peek(key))
        if entry is not None:
            return space, entry
    return None


async def _keys_of(cache: TieredCache, prefix: str) -> list[tuple[str, list[str]]]:
    """By layer its first keys in order; of a layer without order the first of those it told."""
    found = []
    if cache.memory is not None:
        keys = await asyncio.to_thread(_first, cache.memory.keys_nowait(), prefix)
        found.append((cache.infos()[0].name, keys))
    far = [(layer.name, await _far_keys(layer, prefix)) for layer in cache.far_layers()]
    return [*found, *far]


def _first(keys: Iterable[Any], prefix: str) -> list[str]:
    wanted = (key for key in keys if isinstance(key, str) and key.startswith(prefix))
    return heapq.nsmallest(MOST_KEYS, wanted)


async def _far_keys(layer: FarLayer, prefix: str) -> list[str]:
    file = getattr(layer.cache, "file", None)
    if file is not None:
        keys = await asyncio.to_thread(file.keys, prefix, MOST_KEYS)
        return _first((key for key in keys if not is_own_key(key)), prefix)
    scan = getattr(layer.cache, "scan", None)
    found: list[str] = []
    if scan is None:
        return found
    with suppress(Exception):  # whatever a backend raises: what came until then is told
        async with asyncio.timeout(5.0):
            async for key, _ in scan(prefix):
                if len(found) >= MOST_KEYS:
                    break
                if not is_own_key(key):
                    found.append(key)
    return _first(found, prefix)


async def resolve(runtime: Runtime, key: str) -> list[str]:
    """The keys that look so while their secrets are hidden: many may; a URL stands for its key."""
    key = _full(key)
    if HIDDEN not in key:
        return [key]
    alike = await _holders(runtime, key.partition(HIDDEN)[0])
    return [one for one in sorted(alike) if hidden(one) == key]


async def look(
    runtime: Runtime, key: str, *, reveal: bool = False, value: bool = False, heed: bool = False
) -> dict[str, Any] | None:
    """What is kept under ``key``, as JSON values; None without a valid entry.

    Of several keys that look alike with their secrets hidden, the first; ``alike`` says how many there are.

    :param heed: ask the layer what others invalidated, as a reader would; a process that runs knows anyway.
    :param value: with the value: the text of a response's body, or a function's result.
    :param reveal: with what is a secret by its name.
    """
    alike = await resolve(runtime, key)
    for key in alike:
        found = await _find(runtime, key, heed)
        if found is not None:
            space, entry = found
            return {
                "key": key if reveal else hidden(key),
                "alike": len(alike),
                "namespace": space or None,
                **described(entry, reveal=reveal, value=value),
            }
    return None


def described(entry: Entry, *, reveal: bool = False, value: bool = False) -> dict[str, Any]:
    """An entry as JSON values, times in unix seconds; see ``look``."""
    found = {
        "kind": _kind(entry.value),
        "stored_at": entry.stored_at,
        "expires_at": entry.expires_at,
        "ttl": None if entry.expires_at is None else round(entry.expires_at - time.time(), 3),
        "bytes": entry.size,
        "cost_seconds": entry.cost,
        "tags": [tag if reveal else hidden(tag) for tag in entry.tags],
    }
    if isinstance(entry.value, StoredResponse):
        return found | {"response": _response(entry.value, reveal, value)}
    if isinstance(entry.value, VariantIndex):
        keys = [variant.key if reveal else hidden(variant.key) for variant in entry.value.variants]
        return found | {"variants": keys}
    text = repr(_released(entry.value))[:_PREVIEW]
    return found | ({"value": text if reveal else hidden(text)} if value else {})


def _kind(value: Any) -> str:
    if isinstance(value, StoredResponse):
        return "response"
    return "variants" if isinstance(value, VariantIndex) else type(_released(value)).__name__


def _released(kept: Any) -> Any:
    """What a caller of the function would get."""
    try:
        return release(kept)
    except Exception:  # a class that no longer accepts what it once gave
        return kept


def _response(stored: StoredResponse, reveal: bool, body: bool) -> dict[str, Any]:
    now = time.time()
    fields = [[name.decode("latin-1"), shown_field(name, one, reveal=reveal)] for name, one in stored.headers]
    personal = not reveal and any(is_secret(name) for name in stored.vary)
    told = {
        "status": stored.status,
        "fresh_for": round(stored.fresh_until - now, 3),
        "age": round(stored.age(now), 3),
        "route": stored.route,
        "rule": stored.rule,
        "vary": dict(_varied(stored, reveal)),
        "headers": fields,
        "body_bytes": len(stored.body),
    }
    return told | ({"body": HIDDEN if personal else _text(stored, reveal)} if body else {})


def _varied(stored: StoredResponse, reveal: bool) -> Iterator[tuple[str, str | None]]:
    for name, value in zip(stored.vary, stored.vary_values, strict=True):
        yield name.decode("latin-1"), None if value is None else shown_field(name, value, reveal=reveal)


def _text(stored: StoredResponse, reveal: bool) -> str | None:
    """The beginning of a body that is text; None for one that is compressed or no text."""
    if stored.field(b"content-encoding") is not None:
        return None
    try:
        text = stored.body.decode("utf-8")[:_PREVIEW]
    except UnicodeDecodeError:
        return None
    return text if reveal else hidden(text)


def purge_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``Runtime.invalidate`` in a JSON object.

    :raises ValueError: it names nothing, or something of the wrong kind.
    """
    lists, texts, flags = ("keys", "tags"), ("prefix", "url", "route"), ("soft", "dry_run")
    unknown = sorted(set(given) - {*lists, *texts, *flags})
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; known are {', '.join((*lists, *texts, *flags))}")
    if not any(given.get(name) for name in (*lists, *texts)):
        raise ValueError("say what to purge: keys, tags, prefix, url or route")
    for name in lists:
        _check(name, given.get(name, []), list)
        for item in given.get(name, []):
            _check(name, item, str)
    for names, kind in ((texts, str), (flags, bool)):
        for name in names:
            _check(name, given.get(name, kind()), kind)
    return {**given, "keys": [_full(key) for key in given.get("keys", ())]}


def _full(key: str) -> str:
    """A URL stands for its key."""
    return f"GET {key}" if key.startswith(("http://", "https://")) else key


def _check(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be {_WORDS[kind]}, not {value!r}")


_WORDS: Final[Mapping[type, str]] = {list: "a list of texts", str: "a text", bool: "true or false"}
