"""The optimization run: its state, its start, its end."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts import OptimizationRequest
from perfmw.dashboard.api.endpoint import NOTHING, PAGING, Context, Endpoint, answer, json_object, page
from perfmw.dashboard.problems import ProblemError
from perfmw.dashboard.view import opportunities

logger = logging.getLogger("perfmw.dashboard")

START_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "profile_id": {"type": "string", "description": "only this profile; without it, all"},
        "types": {"type": "array", "items": {"type": "string"}, "description": "empty: all types"},
        "level": {"type": "string", "enum": ["basic", "advanced", "aggressive"], "default": "basic"},
        "max_steps": {"type": "integer", "minimum": 1, "maximum": 50, "default": 3},
        "blocks": {"type": "integer", "minimum": 2, "maximum": 1_000, "default": 8},
        "block_seconds": {"type": "number", "minimum": 0.05, "maximum": 3_600, "default": 10.0},
        "dry_run": {"type": "boolean", "default": False},
    },
}


async def get_state(context: Context, request: Request) -> Response:
    return answer(request, context.host.optimization_state())


async def start(context: Context, request: Request) -> Response:
    body = await json_object(request)
    profile_id = body.pop("profile_id", None)
    if not isinstance(profile_id, str | None):
        raise ProblemError(422, "profile_id must be a string.")
    try:
        state = context.host.start_optimization(_parse(body), profile_id)
    except RuntimeError as exc:
        raise ProblemError(409, f"{exc}.") from None
    except KeyError:
        raise ProblemError(404, f"No profile has the id {profile_id!r}.") from None
    return answer(request, state, 202)


async def cancel(context: Context, request: Request) -> Response:
    await json_object(request)
    context.host.cancel_optimization()
    return answer(request, context.host.optimization_state(), 202)


async def stop_everything(context: Context, request: Request) -> Response:
    """The kill switch: what cannot be rolled back is told, and does not keep the rest from it."""
    await json_object(request)
    host = context.host
    host.cancel_optimization()
    undone, failed = [], []
    for entry in list(host.ledger.kept()):
        try:
            await host.rollback(entry.id)
            undone.append(entry.opportunity.title)
        except Exception as exc:
            logger.warning("entry %s could not be rolled back", entry.id, exc_info=True)
            failed.append(f"{entry.opportunity.title}: {exc.args[0] if exc.args else exc}")
    if failed:
        raise ProblemError(409, f"These could not be rolled back: {'; '.join(failed)}.")
    return answer(request, {"rolled_back": undone}, 202)


async def list_opportunities(context: Context, request: Request) -> Response:
    return page(request, opportunities(context.snapshots.get()))


def _parse(body: dict[str, Any]) -> OptimizationRequest:
    """Raises ProblemError 422 that names the field and what is allowed."""
    properties = START_SCHEMA["properties"]
    unknown = sorted(set(body) - set(properties))
    if unknown:
        raise ProblemError(422, f"Unknown field {unknown[0]!r}; allowed: {', '.join(properties)}.")
    for name, value in body.items():
        _check_bounds(name, value, properties[name])
    try:
        return msgspec.convert({**body, "requested_by": "dashboard"}, OptimizationRequest)
    except msgspec.ValidationError as exc:
        raise ProblemError(422, f"{exc}.") from None


def _check_bounds(name: str, value: Any, schema: dict[str, Any]) -> None:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None or high is None or isinstance(value, bool) or not isinstance(value, int | float):
        return
    if not low <= value <= high:
        raise ProblemError(422, f"{name} must be from {low} to {high}.")


ENDPOINTS = (
    Endpoint(
        "GET", "/opportunities", "What could be faster, by time saved", list_opportunities, query=PAGING
    ),
    Endpoint("GET", "/optimization", "Whether an optimization runs, and how far it is", get_state),
    Endpoint("POST", "/optimization/start", "Start an optimization run", start, body=START_SCHEMA),
    Endpoint(
        "POST",
        "/optimization/cancel",
        "End the run and undo what is on trial",
        cancel,
        body=NOTHING,
    ),
    Endpoint(
        "POST",
        "/optimization/stop",
        "End the run under way and roll back every change in force",
        stop_everything,
        body=NOTHING,
    ),
)
