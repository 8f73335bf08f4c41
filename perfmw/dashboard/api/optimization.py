"""The optimization run: its state, its start, its end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts import OptimizationRequest
from perfmw.dashboard.api.endpoint import NOTHING, PAGING, Context, Endpoint, answer, json_object, page
from perfmw.dashboard.asked import meet
from perfmw.dashboard.problems import ProblemError
from perfmw.dashboard.view import waiting

logger = logging.getLogger("perfmw.dashboard")

START_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "profile_id": {"type": ["string", "null"], "description": "only this profile; without it, all"},
        "types": {"type": "array", "items": {"type": "string"}, "description": "empty: all types"},
        "level": {"type": "string", "enum": ["basic", "advanced", "aggressive"], "default": "basic"},
        "max_steps": {"type": "integer", "minimum": 1, "maximum": 50, "default": 3},
        "blocks": {"type": "integer", "minimum": 2, "maximum": 1_000, "default": 8},
        "block_seconds": {"type": "number", "minimum": 0.05, "maximum": 3_600, "default": 10.0},
        "block_requests": {
            "type": "integer",
            "minimum": 0,
            "maximum": 1_000_000,
            "default": 0,
            "description": "a block that has fewer goes on, for four times as long at most",
        },
        "at_once": {
            "type": "integer",
            "minimum": 1,
            "maximum": 50,
            "default": 1,
            "description": "changes of different routes on trial at a time",
        },
        "dry_run": {"type": "boolean", "default": False},
        "approval": {"type": "boolean", "default": False, "description": "only ask; nothing is tried"},
    },
}


AUTOMATIC_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["on"],
    "properties": {"on": {"type": "boolean"}},
}


async def get_state(context: Context, request: Request) -> Response:
    host: Any = context.host
    return answer(request, {**host.optimization_state(), "automatic": host.optimizing.automatic})


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
    await meet(context.host)
    return answer(request, state, 202)


async def cancel(context: Context, request: Request) -> Response:
    await json_object(request)
    context.host.cancel_optimization()
    await meet(context.host)
    return answer(request, context.host.optimization_state(), 202)


async def stop_everything(context: Context, request: Request) -> Response:
    """The kill switch: what cannot be rolled back is told, and does not keep the rest from it.

    Nothing is tried by itself from then on, until ``optimization/automatic`` or a start.
    """
    await json_object(request)
    host: Any = context.host
    host.optimizing.end()
    host.cancel_optimization()
    undone, failed = [], []
    for entry in list(host.ledger.kept()):
        try:
            await host.rollback(entry.id)
            undone.append(entry.opportunity.title)
        except Exception as exc:
            logger.warning("entry %s could not be rolled back", entry.id, exc_info=True)
            failed.append(f"{entry.opportunity.title}: {exc.args[0] if exc.args else exc}")
    await meet(host)
    if failed:
        raise ProblemError(409, f"These could not be rolled back: {'; '.join(failed)}.")
    return answer(request, {"rolled_back": undone}, 202)


async def try_one(context: Context, request: Request) -> Response:
    """Tried at once, and kept only if it proves itself, as any other."""
    body = await json_object(request)
    entry = _asked(context, request.path_params["id"], "chosen on the dashboard")
    return _approve(context, request, entry.id, body)


async def refuse_one(context: Context, request: Request) -> Response:
    await json_object(request)
    entry = _asked(context, request.path_params["id"], "refused on the dashboard")
    return _reject(context, request, entry.id)


async def approve(context: Context, request: Request) -> Response:
    return _approve(context, request, _entry_id(request), await json_object(request))


async def reject(context: Context, request: Request) -> Response:
    await json_object(request)
    return _reject(context, request, _entry_id(request))


async def set_automatic(context: Context, request: Request) -> Response:
    body = await json_object(request)
    wanted = body.pop("on", None)
    if not isinstance(wanted, bool) or body:
        raise ProblemError(422, "The body takes on: true or false.")
    host: Any = context.host
    if wanted and not host.settings.optimizations_enabled:
        raise ProblemError(409, "Optimizations are off: optimizations_enabled is false.")
    host.optimizing.turn(wanted)
    await meet(host)
    return answer(request, {"on": wanted})


def _asked(context: Context, opportunity_id: str, why: str) -> Any:
    """The entry of the ledger by which an opportunity is decided upon. Raises ProblemError 404 or 409."""
    host: Any = context.host
    _idle(context)
    for one in context.snapshots.get().optimizations.identified:
        if one.id == opportunity_id:
            return host.ledger.append("waiting", one, who="dashboard", why=why)
    raise ProblemError(404, f"There is no opportunity {opportunity_id!r} any more.")


def _idle(context: Context) -> None:
    if context.host.optimization_state().get("status") == "running":
        raise ProblemError(409, "An optimization run is under way; wait for it or stop it.")
    if not context.host.settings.optimizations_enabled:
        raise ProblemError(409, "Optimizations are off: optimizations_enabled is false.")


def _approve(context: Context, request: Request, entry_id: int, body: dict[str, Any]) -> Response:
    """Begin in the background; its verdict will stand in the ledger."""
    host: Any = context.host
    _idle(context)
    wanted = _parse(body)
    _known(host.engine.pending, entry_id)
    host.spawn(host.engine.approve(entry_id, wanted, who="dashboard"), name="perfmw-optimization")
    return answer(request, {"id": entry_id, "approved": True}, 202)


def _reject(context: Context, request: Request, entry_id: int) -> Response:
    host: Any = context.host
    _known(lambda number: host.engine.reject(number, who="dashboard"), entry_id)
    return answer(request, {"id": entry_id, "rejected": True}, 202)


def _known(work: Callable[[int], object], entry_id: int) -> None:
    """Raises ProblemError 404 for an unknown entry, 409 for one that does not wait."""
    try:
        work(entry_id)
    except KeyError:
        raise ProblemError(404, f"The ledger has no entry {entry_id}.") from None
    except ValueError as exc:
        raise ProblemError(409, f"{exc}.") from None


def _entry_id(request: Request) -> int:
    text = request.path_params["id"]
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise ProblemError(404, f"The ledger has no entry {text!r}.")
    return int(text)


async def list_waiting(context: Context, request: Request) -> Response:
    return page(request, waiting(context.host.ledger))


async def list_recommendations(context: Context, request: Request) -> Response:
    return page(request, context.snapshots.get().optimizations.recommendations)


async def list_opportunities(context: Context, request: Request) -> Response:
    return page(request, context.snapshots.get().optimizations.identified)


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
    Endpoint(
        "GET",
        "/recommendations",
        "What people can do themselves, with the code to paste, by time saved",
        list_recommendations,
        query=PAGING,
    ),
    Endpoint(
        "POST", "/opportunities/{id:path}/try", "Try one at once", try_one, body=START_SCHEMA, status=202
    ),
    Endpoint(
        "POST",
        "/opportunities/{id:path}/reject",
        "Not to be proposed again",
        refuse_one,
        body=NOTHING,
        status=202,
    ),
    Endpoint("GET", "/waiting", "Changes that wait for approval", list_waiting, query=PAGING),
    Endpoint(
        "POST", "/ledger/{id}/approve", "Try a change that waits", approve, body=START_SCHEMA, status=202
    ),
    Endpoint("POST", "/ledger/{id}/reject", "Refuse a change that waits", reject, body=NOTHING, status=202),
    Endpoint(
        "POST",
        "/optimization/automatic",
        "Whether this host's workers optimize without being asked",
        set_automatic,
        body=AUTOMATIC_SCHEMA,
    ),
    Endpoint("GET", "/optimization", "Whether an optimization runs, and how far it is", get_state),
    Endpoint(
        "POST", "/optimization/start", "Start an optimization run", start, body=START_SCHEMA, status=202
    ),
    Endpoint(
        "POST",
        "/optimization/cancel",
        "End the run and undo what is on trial",
        cancel,
        body=NOTHING,
        status=202,
    ),
    Endpoint(
        "POST",
        "/optimization/stop",
        "End the run under way and roll back every change in force",
        stop_everything,
        body=NOTHING,
        status=202,
    ),
)
