"""Resource managers: named views on pools, with their efficiency and what stays unused."""

from __future__ import annotations

from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts import OptimizationRequest
from perfmw.contracts.resources import ResourceScope
from perfmw.dashboard.api.endpoint import NOTHING, PAGING, Context, Endpoint, answer, json_object, page
from perfmw.dashboard.problems import ProblemError
from perfmw.resources import ResourceManagementSystem

SCOPES = get_args(ResourceScope)
RESOURCE_TYPES = ("memory_max_bytes",)
"""What an optimization of resources tries: the changes that move a bound of memory."""
CREATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        "scope": {"type": "string", "enum": list(SCOPES), "default": "application"},
        "pools": {"type": "array", "items": {"type": "string"}, "description": "by name; without it, all"},
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


async def optimize_manager(context: Context, request: Request) -> Response:
    """A run that tries what moves memory; its verdict will stand in the ledger."""
    await json_object(request)
    wanted = request.path_params["id"]
    if system_of(context).get(wanted) is None:
        raise _unknown(wanted)
    asked = OptimizationRequest(types=RESOURCE_TYPES, level="advanced", requested_by="dashboard")
    try:
        return answer(request, context.host.start_optimization(asked), 202)
    except RuntimeError as error:
        raise ProblemError(409, f"{error}.") from None


def _unknown(wanted: str) -> ProblemError:
    return ProblemError(404, f"No resource manager has the id {wanted!r}.")


ENDPOINTS = (
    Endpoint("GET", "/resources", "Resource managers with the latest samples", list_managers, query=PAGING),
    Endpoint(
        "POST", "/resources", "Create a resource manager", create_manager, body=CREATE_SCHEMA, status=201
    ),
    Endpoint("POST", "/resources/{id}/delete", "Remove a resource manager", delete_manager, body=NOTHING),
    Endpoint(
        "POST",
        "/resources/{id}/optimize",
        "Try what makes better use of memory",
        optimize_manager,
        body=NOTHING,
        status=202,
    ),
)
