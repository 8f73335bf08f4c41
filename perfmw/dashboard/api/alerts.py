"""Alerts, who is told of them, silences, and the annotations that alerts name as what came before."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import NOTHING, PAGING, Context, Endpoint, answer, json_object, page
from perfmw.dashboard.problems import ProblemError

_WHEN = {"type": "number", "description": "unix seconds"}
SILENCE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["pattern"],
    "properties": {
        "pattern": {"type": "string", "description": "of a target, type or key; * and ? stand for anything"},
        "seconds": {"type": "number", "minimum": 1, "description": "how long; or until"},
        "until": _WHEN,
        "starts": _WHEN,
        "why": {"type": "string"},
        "by": {"type": "string"},
    },
    "oneOf": [{"required": ["seconds"]}, {"required": ["until"]}],
}
RESOLVE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["key"],
    "properties": {"key": {"type": "string", "description": "of an open incident"}},
}
ANNOTATION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["text"],
    "properties": {
        "text": {"type": "string", "description": "such as: shop 2.4.1"},
        "kind": {"type": "string", "default": "deploy"},
        "at": _WHEN,
        "who": {"type": "string"},
    },
}


async def list_alerts(context: Context, request: Request) -> Response:
    """The newest first."""
    found = sorted(context.host.alerts, key=lambda alert: alert.resolved_at or float("inf"), reverse=True)
    state = request.query_params.get("state", "all")
    if state not in ("all", "open", "resolved"):
        raise ProblemError(422, "state must be all, open or resolved.")
    if state != "all":
        found = [alert for alert in found if (alert.resolved_at is None) == (state == "open")]
    return page(request, found)


async def resolve(context: Context, request: Request) -> Response:
    """What it tells of is raised again if it is still there."""
    key = _text(await _body(request, RESOLVE_SCHEMA), "key")
    try:
        _watching(context).resolve(key)
    except KeyError:
        raise ProblemError(404, f"No incident {key!r} is open.") from None
    return answer(request, {"resolved": key})


async def list_channels(context: Context, request: Request) -> Response:
    return page(request, _watching(context).channels())


async def list_silences(context: Context, request: Request) -> Response:
    watching = _watching(context)
    return page(request, watching.silences(), maintenance=watching.maintenance)


async def add_silence(context: Context, request: Request) -> Response:
    body = await _body(request, SILENCE_SCHEMA)
    pattern, until = _text(body, "pattern"), _number(body, "until")
    seconds = _number(body, "seconds")
    if (until is None) == (seconds is None):
        raise ProblemError(422, "Say either seconds or until.")
    starts = _number(body, "starts")
    if until is None:
        until = (starts if starts is not None else time.time()) + (seconds or 0.0)
    try:
        made = await _watching(context).silence(
            pattern, until, starts=starts, why=_text(body, "why"), by=_text(body, "by")
        )
    except ValueError as error:
        raise ProblemError(422, f"{str(error).capitalize()}.") from None
    return answer(request, made, 201)


async def end_silence(context: Context, request: Request) -> Response:
    await json_object(request)
    if not await _watching(context).unsilence(request.path_params["id"]):
        raise ProblemError(404, "There is no such silence.")
    return answer(request, {"ended": request.path_params["id"]})


async def list_annotations(context: Context, request: Request) -> Response:
    """The newest first."""
    return page(request, list(reversed(_watching(context).timeline.items())))


async def add_annotation(context: Context, request: Request) -> Response:
    body = await _body(request, ANNOTATION_SCHEMA)
    kind, text, at = _text(body, "kind") or "deploy", _text(body, "text"), _number(body, "at")
    if not text.strip() or not kind.strip():
        raise ProblemError(422, "Say what was done: text.")
    return answer(request, _watching(context).annotate(kind, text, at, _text(body, "who")), 201)


def _watching(context: Context) -> Any:
    host: Any = context.host
    return host.rounds.watching


async def _body(request: Request, schema: Mapping[str, Any]) -> dict[str, Any]:
    body = await json_object(request)
    if unknown := sorted(set(body) - set(schema["properties"])):
        raise ProblemError(422, f"Unknown: {', '.join(unknown)}.")
    return body


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str) or len(value) > 1_000 or (value and not value.isprintable()):
        raise ProblemError(422, f"{name} must be a text of at most 1000 printable characters.")
    return value


def _number(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
        raise ProblemError(422, f"{name} must be a number above 0.")
    return float(value)


STATE: dict[str, Any] = {
    **PAGING,
    "state": {"type": "string", "enum": ["all", "open", "resolved"], "default": "all"},
}
ENDPOINTS = (
    Endpoint("GET", "/alerts", "Incidents, the newest first", list_alerts, STATE),
    Endpoint("POST", "/alerts/resolve", "Close an incident by hand", resolve, body=RESOLVE_SCHEMA),
    Endpoint("GET", "/alerts/channels", "Who is told, and how well it goes", list_channels, PAGING),
    Endpoint("GET", "/alerts/silences", "What nobody is told of, and until when", list_silences, PAGING),
    Endpoint(
        "POST",
        "/alerts/silences",
        "Silence alerts for a while",
        add_silence,
        body=SILENCE_SCHEMA,
        status=201,
    ),
    Endpoint("POST", "/alerts/silences/{id}/end", "End a silence", end_silence, body=NOTHING),
    Endpoint("GET", "/annotations", "What was done, the newest first", list_annotations, PAGING),
    Endpoint(
        "POST",
        "/annotations",
        "Note a deploy or another change",
        add_annotation,
        body=ANNOTATION_SCHEMA,
        status=201,
    ),
)
