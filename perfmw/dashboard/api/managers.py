"""Resource managers: named views on pools, with their efficiency and what stays unused."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts.resources import ResourceGoal, ResourceOptimizationRequest, ResourceScope
from perfmw.dashboard.api.endpoint import NOTHING, PAGING, Context, Endpoint, answer, json_object, page
from perfmw.dashboard.problems import ProblemError
from perfmw.resources import ResourceManagementSystem

logger = logging.getLogger("perfmw.dashboard")

SCOPES = get_args(ResourceScope)
GOALS = get_args(ResourceGoal)
OPTIMIZE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "goals": {"type": "array", "items": {"type": "string", "enum": list(GOALS)}},
        "apply": {"type": "boolean", "default": True, "description": "try what can be changed while running"},
    },
}
CREATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        "scope": {"type": "string", "enum": list(SCOPES), "default": "application"},
        "pools": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "description": "by name; without it, all",
        },
    },
}
MOST_MANAGERS = 100


def system_of(context: Context) -> ResourceManagementSystem:
    """Raises ProblemError 501 where nothing is sampled."""
    rounds = getattr(context.host, "rounds", None)
    if rounds is None:
        raise ProblemError(501, "No resources are sampled here.")
    system: ResourceManagementSystem = rounds.resources
    return system


async def list_managers(context: Context, request: Request) -> Response:
    return page(request, system_of(context).managers())


async def create_manager(context: Context, request: Request) -> Response:
    body, system = await json_object(request), system_of(context)
    name, scope, pools = body.get("name"), body.get("scope", "application"), body.get("pools")
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= 100 or not name.isprintable():
        raise ProblemError(422, "name must be a text of at most 100 printable characters.")
    if scope not in SCOPES or set(body) - set(CREATE_SCHEMA["properties"]):
        raise ProblemError(422, f"The body takes name, scope (one of {', '.join(SCOPES)}) and pools.")
    if pools is not None and not (isinstance(pools, list) and all(isinstance(one, str) for one in pools)):
        raise ProblemError(422, "pools must be a list of names.")
    if len(system.managers()) >= MOST_MANAGERS:
        raise ProblemError(409, f"There are {MOST_MANAGERS} resource managers already.")
    try:
        return answer(request, system.create(name.strip(), scope, pools), 201)
    except ValueError as error:
        raise ProblemError(422, f"{error}.") from None


async def delete_manager(context: Context, request: Request) -> Response:
    await json_object(request)
    wanted = request.path_params["id"]
    if not system_of(context).delete(wanted):
        raise _unknown(wanted)
    return answer(request, {"id": wanted, "deleted": True})


async def get_manager(context: Context, request: Request) -> Response:
    wanted = request.path_params["id"]
    manager = system_of(context).get(wanted)
    if manager is None:
        raise _unknown(wanted)
    return answer(request, {"manager": manager, "last": context.allocations().get(wanted)})


async def optimize_manager(context: Context, request: Request) -> Response:
    """What would help, at once; what can be tried is tried in the background, and told by the ledger."""
    wanted, asked = request.path_params["id"], _asked(await json_object(request))
    system, host = system_of(context), context.host
    if system.get(wanted) is None:
        raise _unknown(wanted)
    if asked.apply and host.optimization_state().get("status") == "running":
        raise ProblemError(409, "An optimization run is under way; wait for it or stop it.")
    told = await system.optimize_resource_allocation(wanted, replace(asked, apply=False))
    context.answers.put(f"allocation {wanted}", told)
    if asked.apply:
        host.spawn(_apply(context, wanted, asked), name="dashboard-resources")
    return answer(request, told, 202)


async def _apply(context: Context, id: str, asked: ResourceOptimizationRequest) -> None:
    try:
        told = await system_of(context).optimize_resource_allocation(id, asked)
        context.answers.put(f"allocation {id}", told)
    except (KeyError, RuntimeError) as error:  # removed meanwhile, or another run was quicker
        logger.info("resource manager %s was not optimized: %s", id, error)


def _asked(body: dict[str, Any]) -> ResourceOptimizationRequest:
    """Raises ProblemError 422."""
    known = OPTIMIZE_SCHEMA["properties"]
    goals, apply = body.get("goals", list(GOALS)), body.get("apply", True)
    if set(body) - set(known) or not isinstance(apply, bool):
        raise ProblemError(422, "The body takes goals and apply (true or false).")
    if not isinstance(goals, list) or not goals or not set(map(str, goals)) <= set(GOALS):
        raise ProblemError(422, f"goals must be some of {', '.join(GOALS)}.")
    return ResourceOptimizationRequest(goals=tuple(goals), apply=apply, requested_by="dashboard")


def _unknown(wanted: str) -> ProblemError:
    return ProblemError(404, f"No resource manager has the id {wanted!r}.")


ENDPOINTS = (
    Endpoint("GET", "/resources", "Resource managers with the latest samples", list_managers, query=PAGING),
    Endpoint(
        "POST", "/resources", "Create a resource manager", create_manager, body=CREATE_SCHEMA, status=201
    ),
    Endpoint("GET", "/resources/{id}", "A resource manager, and what came of optimizing it", get_manager),
    Endpoint("POST", "/resources/{id}/delete", "Remove a resource manager", delete_manager, body=NOTHING),
    Endpoint(
        "POST",
        "/resources/{id}/optimize",
        "Say what would help, and try what can be changed while running",
        optimize_manager,
        body=OPTIMIZE_SCHEMA,
        status=202,
    ),
)
