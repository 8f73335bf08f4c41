"""The cache: what it did, what is in it, purging it and warming it up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts import CacheLayerInfo, CacheUse
from perfmw.dashboard.api.endpoint import (
    NOTHING,
    PAGING,
    Context,
    Endpoint,
    answer,
    json_object,
    paging,
    part_of,
)
from perfmw.dashboard.asked import meet
from perfmw.dashboard.auth import role_of
from perfmw.dashboard.problems import ProblemError
from perfmw.dashboard.view import to_json

MOST_BYTES = 8 * 1024 * 1024
"""Of a warm-up's list of URLs."""
MOST_SECONDS = 3_600.0
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_FLAG: dict[str, Any] = {"type": "string", "enum": ["true", "false"], "default": "false"}
KEYS_QUERY: dict[str, Any] = {
    "prefix": {"type": "string", "default": ""},
    **PAGING,
    "reveal": _FLAG,
}
ENTRY_QUERY: dict[str, Any] = {"key": {"type": "string", "minLength": 1}, "value": _FLAG, "reveal": _FLAG}
PURGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "keys": _TEXTS,
        "tags": _TEXTS,
        "prefix": {"type": "string"},
        "url": {"type": "string", "description": "absolute"},
        "route": {"type": "string", "description": "such as GET /items/{id}"},
        "soft": {"type": "boolean", "default": False, "description": "make stale instead of removing"},
        "dry_run": {"type": "boolean", "default": False, "description": "only count"},
    },
    "anyOf": [{"required": [name]} for name in ("keys", "tags", "prefix", "url", "route")],
}
WARM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "sources": {**_TEXTS, "description": "hottest, sitemap:/path and openapi:/path"},
        "urls": {**_TEXTS, "description": "URLs and paths of this site"},
        "origin": {"type": "string", "description": "the site's; default: the Host of this request"},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "limit": {"type": "integer", "minimum": 1, "maximum": 50_000, "default": 1_000},
        "concurrency": {"type": "integer", "minimum": 1, "maximum": 64, "default": 4},
        "rate": {"type": "number", "minimum": 0.01, "maximum": 10_000, "default": 50},
        "seconds": {"type": "number", "minimum": 0.1, "maximum": MOST_SECONDS, "default": 300},
    },
    "anyOf": [{"required": ["sources"]}, {"required": ["urls"]}],
}


async def get_cache(context: Context, request: Request) -> Response:
    found = context.snapshots.get().caching()
    if found is None:
        raise ProblemError(501, "Nobody counts here.")
    uses = {
        name: [_use(use) for use in getattr(found, name)] for name in ("namespaces", "routes", "functions")
    }
    body = {
        "since": found.since,
        "whole": _use(found.whole),
        "layers": [_layer(layer) for layer in found.layers],
        **uses,
        "coalesced": found.coalesced,
        "timeouts": found.timeouts,
    }
    return answer(request, body)


def _use(use: CacheUse) -> msgspec.Raw:
    """JSON at once: thousands of dicts alive together set off the garbage collector's longest pass."""
    return msgspec.Raw(to_json(_shallow(use) | {"hit_rate": use.hit_rate}))


def _layer(layer: CacheLayerInfo) -> dict[str, Any]:
    return _shallow(layer) | {"left": layer.left()}


def _shallow(value: CacheUse | CacheLayerInfo) -> dict[str, Any]:
    """The fields as they are: ``asdict`` copies all below, which takes long for a thousand routes."""
    return {one.name: getattr(value, one.name) for one in fields(value)}


async def list_cache_keys(context: Context, request: Request) -> Response:
    """Without a total: not even the layers know how many keys begin so."""
    from perfmw.runtime.entries import MOST_KEYS, list_keys

    limit, offset = paging(request)
    if offset + limit > MOST_KEYS:
        raise ProblemError(422, f"Only the first {MOST_KEYS} keys are listed; say a longer prefix.")
    runtime: Any = context.host
    prefix = request.query_params.get("prefix", "")
    rows = await list_keys(runtime, prefix, limit + 1, offset=offset, reveal=_reveal(request))
    return part_of(request, rows[:limit], more=len(rows) > limit)


async def get_cache_entry(context: Context, request: Request) -> Response:
    from perfmw.runtime.entries import look
    from perfmw.runtime.redaction import hidden

    key = request.query_params.get("key", "")
    if not key:
        raise ProblemError(422, "Say which: key=…")
    runtime: Any = context.host
    found = await look(runtime, key, reveal=_reveal(request), value=_flag(request, "value"))
    if found is None:
        raise ProblemError(404, f"Nothing is kept under {hidden(key)!r}.")
    return answer(request, found)


async def get_what_if(context: Context, request: Request) -> Response:
    found, learning = context.rehearsals.last, context.rehearsals.learning
    trail = context.rehearsals.trail
    body = {
        "what_if": found,
        "worker": os.getpid(),  # whose the rest is
        "remembers": trail is not None,
        "reads": len(trail.reads) if trail is not None else 0,
        "learned": learning.told() if learning is not None else {},
    }
    return answer(request, body)


async def start_what_if(context: Context, request: Request) -> Response:
    await json_object(request)
    return answer(request, await context.rehearsals.run())


async def purge(context: Context, request: Request) -> Response:
    from perfmw.runtime.entries import purge_arguments, resolve

    body = await json_object(request)
    runtime: Any = context.host
    try:
        arguments = purge_arguments(body)
        arguments["keys"] = [key for one in arguments["keys"] for key in await resolve(runtime, one)]
        removed = await runtime.invalidate(**arguments)
    except ValueError as error:
        raise ProblemError(422, f"{error}.") from None
    if not removed.dry_run:
        runtime.rounds.purges.tell(arguments)
        await meet(runtime)
    told = {"removed": int(removed), "layers": removed.layers}
    return answer(request, told | {"soft": removed.soft, "dry_run": removed.dry_run})


async def get_warm_up(context: Context, request: Request) -> Response:
    runtime: Any = context.host
    return answer(request, runtime.warm_up.state())


async def start_warm_up(context: Context, request: Request) -> Response:
    from perfmw.runtime.warming.warmer import Bounds

    body = await json_object(request, most=MOST_BYTES)
    if unknown := sorted(set(body) - set(WARM_SCHEMA["properties"])):
        raise ProblemError(422, f"Unknown: {', '.join(unknown)}.")
    sources, urls = _texts(body, "sources"), _texts(body, "urls")
    if not sources and not urls:
        raise ProblemError(422, "Say what to warm up: sources or urls.")
    if any(source.startswith("urls:") for source in sources):
        raise ProblemError(422, "Files of the server are not read from here; send their URLs as urls.")
    bounds = Bounds(**{name: _number(body, name) for name in ("limit", "concurrency", "rate", "seconds")})
    origin = body.get("origin", None if sources == ["hottest"] and not urls else _own_origin(request))
    if not isinstance(origin, str | None):
        raise ProblemError(422, "origin must be a text such as https://shop.example.")
    runtime: Any = context.host
    try:
        state = runtime.warm_up.start(
            sources, urls, origin=origin, headers=_fields(body.get("headers", {})), bounds=bounds
        )
    except ValueError as error:
        raise ProblemError(422, f"{error}.") from None
    except RuntimeError as error:
        raise ProblemError(409, f"{error}.") from None
    return answer(request, state, 202)


async def cancel_warm_up(context: Context, request: Request) -> Response:
    await json_object(request)
    runtime: Any = context.host
    runtime.warm_up.cancel()
    return answer(request, runtime.warm_up.state(), 202)


def _own_origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', '')}"


def _reveal(request: Request) -> bool:
    """Whether secrets are asked for. Raises ProblemError 403 for those who may only look."""
    wanted = _flag(request, "reveal")
    if wanted and role_of(request.scope) != "operate":
        raise ProblemError(403, "Secrets are revealed only to those who have the token to operate.")
    return wanted


def _flag(request: Request, name: str) -> bool:
    word = request.query_params.get(name, "false")
    if word not in ("true", "false"):
        raise ProblemError(422, f"{name} must be true or false.")
    return word == "true"


def _texts(body: Mapping[str, Any], name: str) -> list[str]:
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ProblemError(422, f"{name} must be a list of texts.")
    return value


def _number(body: Mapping[str, Any], name: str) -> Any:
    schema = WARM_SCHEMA["properties"][name]
    value, low, high = body.get(name, schema["default"]), schema["minimum"], schema["maximum"]
    kinds = (int,) if schema["type"] == "integer" else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise ProblemError(422, f"{name} must be a number from {low} to {high}.")
    return value


def _fields(headers: object) -> list[tuple[bytes, bytes]]:
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ProblemError(422, "headers must map names to texts.")
    return [
        (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in headers.items()
    ]


ENDPOINTS = (
    Endpoint("GET", "/cache", "What the cache did, by layer, namespace, route and function", get_cache),
    Endpoint(
        "GET", "/cache/keys", "Keys in the cache, and the layers that hold them", list_cache_keys, KEYS_QUERY
    ),
    Endpoint("GET", "/cache/entry", "What is kept under a key", get_cache_entry, ENTRY_QUERY),
    Endpoint("GET", "/cache/what-if", "The last rehearsal of other sizes and policies", get_what_if),
    Endpoint(
        "POST",
        "/cache/what-if",
        "Try other sizes, policies and lifetimes on the last reads",
        start_what_if,
        body=NOTHING,
    ),
    Endpoint("POST", "/cache/purge", "Remove, make stale or count what is cached", purge, body=PURGE_SCHEMA),
    Endpoint("GET", "/cache/warm", "The warm-up under way, or what the last one did", get_warm_up),
    Endpoint(
        "POST", "/cache/warm", "Ask for URLs before anybody does", start_warm_up, body=WARM_SCHEMA, status=202
    ),
    Endpoint(
        "POST", "/cache/warm/cancel", "Stop the warm-up under way", cancel_warm_up, body=NOTHING, status=202
    ),
)
