"""The OpenAPI document, made from the same data as the router."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from perfmw import __version__
from perfmw.dashboard.api.endpoint import Endpoint

PROBLEM = {
    "description": "What is wrong (RFC 9457)",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                },
            }
        }
    },
}


NOT_MODIFIED = {"description": "What If-None-Match names is still current"}


def document(endpoints: Iterable[Endpoint], server: str) -> dict[str, Any]:
    """OpenAPI 3.1; ``server`` is the URL path the API is mounted at."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = re.sub(r":\w+}", "}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "perfmw dashboard", "version": __version__},
        "servers": [{"url": server}],
        "security": [{"token": []}, {}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "paths": paths,
    }


def _operation(endpoint: Endpoint, path: str) -> dict[str, Any]:
    media = "text/event-stream" if endpoint.path == "/events" else "application/json"
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "parameters": [
            *(_parameter(name, "path", {"type": "string"}) for name in re.findall(r"{(\w+)}", path)),
            *(_parameter(name, "query", schema) for name, schema in endpoint.query.items()),
        ],
        "responses": {
            str(endpoint.status): {"description": endpoint.summary, "content": {media: {}}},
            **({"304": NOT_MODIFIED} if endpoint.method == "GET" and media == "application/json" else {}),
            **({"403": PROBLEM, "415": PROBLEM, "422": PROBLEM} if endpoint.body is not None else {}),
            "401": PROBLEM,
            "default": PROBLEM,
        },
    }
    if endpoint.body is not None:
        content = {"application/json": {"schema": endpoint.body}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameter(name: str, place: str, schema: Any) -> dict[str, Any]:
    required = place == "path" or "minLength" in schema
    return {"name": name, "in": place, "required": required, "schema": schema}
