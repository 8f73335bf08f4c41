"""Performance profiles: list, look at one in depth, create, change, delete, compare, carry elsewhere."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perfmw.contracts import PerformanceBaseline
from perfmw.dashboard.api.endpoint import (
    NOTHING,
    PAGING,
    WINDOW,
    Context,
    Endpoint,
    answer,
    json_object,
    page,
)
from perfmw.dashboard.asked import compared, details_of, meet, window_of
from perfmw.dashboard.problems import ProblemError

TYPES = ("component", "workflow", "integration", "query", "system")
TAKEN = ("all", "choices", "baselines")
IMPORTED = 64 * 1024 * 1024
"""Bytes of profiles that are taken over at once."""
SETTINGS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "targets": {
            "type": ["object", "null"],
            "properties": {
                "latency": {"type": "number", "exclusiveMinimum": 0, "description": "mean, in seconds"},
                "throughput": {"type": "number", "minimum": 0, "description": "operations per second"},
                "resource_utilization": {"type": ["number", "null"]},
            },
        },
        "apdex_t": {
            "type": ["number", "null"],
            "exclusiveMinimum": 0,
            "description": "what satisfies users, in seconds; null: as in the settings",
        },
        "monitoring_enabled": {"type": "boolean"},
        "monitoring_frequency": {"type": "number", "exclusiveMinimum": 0},
        "alert_thresholds": {"type": "array", "items": {"type": "object"}},
        "reporting_schedule": {"type": "string"},
        "optimization_level": {"type": "string", "enum": ["basic", "advanced", "aggressive"]},
        "auto_optimization": {"type": "boolean"},
    },
}
CREATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 500},
        "type": {"type": "string", "enum": list(TYPES), "default": "component"},
        **SETTINGS_SCHEMA["properties"],
    },
}
IMPORT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["perfmw_profiles", "profiles"],
    "properties": {"perfmw_profiles": {"type": "integer"}, "profiles": {"type": "array"}},
}
BASELINE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Empty: what the profile has done of late.",
    "dependentRequired": {"latency": ["throughput"], "throughput": ["latency"]},
    "properties": {
        "latency": {"type": "number", "exclusiveMinimum": 0},
        "throughput": {"type": "number", "minimum": 0},
        "resource_utilization": {"type": ["number", "null"]},
    },
}


async def list_profiles(context: Context, request: Request) -> Response:
    wanted = request.query_params.get("type")
    if wanted is not None and wanted not in TYPES:
        raise ProblemError(422, f"type must be one of {', '.join(TYPES)}.")
    found = [p for p in context.snapshots.get().profiles if wanted is None or p.type == wanted]
    found.sort(key=lambda p: (p.type, p.name))  # the same in each worker, whose next page another may answer
    return page(request, found)


async def get_profile(context: Context, request: Request) -> Response:
    wanted = request.path_params["id"]
    for profile in context.snapshots.get().profiles:
        if profile.id == wanted:
            return answer(request, profile)
    raise _unknown(wanted)


def _unknown(wanted: str) -> ProblemError:
    return ProblemError(404, f"No profile has the id {wanted!r}.")


async def get_details(context: Context, request: Request) -> Response:
    return answer(request, await details_of(context.host, request.path_params["id"], window_of(request)))


async def create_profile(context: Context, request: Request) -> Response:
    body = await json_object(request)
    name, type = body.pop("name", None), body.pop("type", "component")
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= 500:
        raise ProblemError(422, "name must be the target's, such as 'GET /items/{id}'.")
    if type not in TYPES:
        raise ProblemError(422, f"type must be one of {', '.join(TYPES)}.")
    manager = context.host.profile_manager
    try:
        profile = manager.create(name.strip(), type)
        changed = manager.update(profile.id, **body) if body else profile
    except (ValueError, msgspec.ValidationError) as exc:
        raise ProblemError(422, f"{exc}.") from None
    await meet(context.host)
    return answer(request, changed, 201)


async def update_profile(context: Context, request: Request) -> Response:
    body = await json_object(request)
    try:
        changed = context.host.profile_manager.update(request.path_params["id"], **body)
    except KeyError:
        raise _unknown(request.path_params["id"]) from None
    except (ValueError, TypeError, msgspec.ValidationError) as exc:
        raise ProblemError(422, f"{exc}.") from None
    return answer(request, changed)


async def delete_profile(context: Context, request: Request) -> Response:
    await json_object(request)
    wanted = request.path_params["id"]
    try:
        context.host.profile_manager.delete(wanted)
    except KeyError:
        raise _unknown(wanted) from None
    return answer(request, {"id": wanted, "deleted": True})


async def pin_baseline(context: Context, request: Request) -> Response:
    body, wanted = await json_object(request), request.path_params["id"]
    manager = context.host.profile_manager
    try:
        if body:
            known = {"resource_utilization": None, **body, "timestamp": context.snapshots.get().taken_at}
            manager.pin_baseline(wanted, msgspec.convert({**known, "source": "pinned"}, PerformanceBaseline))
        else:
            manager.pin_baseline(wanted)
        return answer(request, manager.get(wanted))
    except KeyError:
        raise _unknown(wanted) from None
    except (ValueError, msgspec.ValidationError) as exc:
        raise ProblemError(422, f"{exc}.") from None


async def compare(context: Context, request: Request) -> Response:
    query = request.query_params
    found = compared(context.host, request.path_params["id"], query.get("second", ""), window_of(request))
    return answer(request, found)


async def export_profiles(context: Context, request: Request) -> Response:
    wanted = request.query_params.getlist("id") or None
    try:
        body = context.host.profile_manager.export(wanted)
    except KeyError as exc:
        raise ProblemError(404, f"{exc.args[0]}.") from None
    response = answer(request, msgspec.Raw(body))
    response.headers["content-disposition"] = 'attachment; filename="perfmw-profiles.json"'
    return response


async def import_profiles(context: Context, request: Request) -> Response:
    data = msgspec.json.encode(await json_object(request, IMPORTED))
    manager, take = context.host.profile_manager, request.query_params.get("take", TAKEN[0])
    if take not in TAKEN:
        raise ProblemError(422, f"take must be one of {', '.join(TAKEN)}.")
    try:
        if take == "baselines":
            ids = manager.pin_baselines(data)
        else:
            ids = manager.import_(data, counts=take == "all")
    except (ValueError, msgspec.ValidationError) as exc:
        raise ProblemError(422, f"{exc}.") from None
    return answer(request, {"ids": ids})


_ID = "/profiles/{id}"
ENDPOINTS = (
    Endpoint(
        "GET",
        "/profiles",
        "Performance profiles",
        list_profiles,
        query={**PAGING, "type": {"type": "string", "enum": list(TYPES)}},
    ),
    Endpoint(
        "POST",
        "/profiles",
        "Create a profile, or choose for one",
        create_profile,
        body=CREATE_SCHEMA,
        status=201,
    ),
    Endpoint(
        "GET",
        f"{_ID}/compare",
        "A profile beside another; without second, its last window beside the one before",
        compare,
        query={"second": {"type": "string", "description": "id or name of a profile"}, **WINDOW},
    ),
    Endpoint(
        "GET",
        "/profiles/export",
        "Profiles as a file for another host",
        export_profiles,
        query={"id": {"type": "array", "items": {"type": "string"}}},
    ),
    Endpoint(
        "POST",
        "/profiles/import",
        "Take over what export gave: all, without what was counted, or the baselines alone",
        import_profiles,
        query={"take": {"type": "string", "enum": list(TAKEN), "default": TAKEN[0]}},
        body=IMPORT_SCHEMA,
    ),
    Endpoint(
        "GET",
        f"{_ID}/details",
        "A profile's windows, course, breakdown, queries and kept traces",
        get_details,
        query=WINDOW,
    ),
    Endpoint("POST", f"{_ID}/settings", "Change what was chosen", update_profile, body=SETTINGS_SCHEMA),
    Endpoint("POST", f"{_ID}/baseline", "Pin the baseline", pin_baseline, body=BASELINE_SCHEMA),
    Endpoint("POST", f"{_ID}/delete", "Forget a profile", delete_profile, body=NOTHING),
    Endpoint("GET", "/profiles/{id:path}", "One performance profile", get_profile),
)
