"""Performance profiles: all of them, or one by its id."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import PAGING, Context, Endpoint, answer, page
from perfmw.dashboard.problems import ProblemError

TYPES = ("component", "workflow", "integration", "query", "system")


async def list_profiles(context: Context, request: Request) -> Response:
    wanted = request.query_params.get("type")
    if wanted is not None and wanted not in TYPES:
        raise ProblemError(422, f"type must be one of {', '.join(TYPES)}.")
    profiles = context.snapshots.get().profiles
    return page(request, [p for p in profiles if wanted is None or p.type == wanted])


async def get_profile(context: Context, request: Request) -> Response:
    wanted = request.path_params["id"]
    for profile in context.snapshots.get().profiles:
        if profile.id == wanted:
            return answer(request, profile)
    raise ProblemError(404, f"No profile has the id {wanted!r}.")


ENDPOINTS = (
    Endpoint(
        "GET",
        "/profiles",
        "Performance profiles",
        list_profiles,
        query={**PAGING, "type": {"type": "string", "enum": list(TYPES)}},
    ),
    Endpoint("GET", "/profiles/{id:path}", "One performance profile", get_profile),
)
