"""Why a URL's response is cached or not, asked of the running app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import Context, Endpoint, answer, json_object
from perfmw.dashboard.problems import ProblemError

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "description": "absolute, or a path of this site"},
        "method": {"type": "string", "enum": ["GET", "HEAD"], "default": "GET"},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


async def explain(context: Context, request: Request) -> Response:
    body = await json_object(request)
    url, method, headers = body.get("url"), body.get("method", "GET"), body.get("headers", {})
    if not isinstance(url, str) or not isinstance(method, str) or set(body) - set(SCHEMA["properties"]):
        raise ProblemError(422, "The body takes url, method and headers; url is required.")
    if url.startswith("/"):
        url = f"{request.url.scheme}://{request.headers.get('host', '')}{url}"
    try:
        told = await context.host.explain(url, method=method, headers=_fields(headers))
        return answer(request, _without_secrets(told))
    except ValueError as error:
        raise ProblemError(422, f"{error}.") from None
    except TimeoutError:
        raise ProblemError(504, "The app did not begin to answer in time.") from None


def _without_secrets(told: Mapping[str, Any]) -> dict[str, Any]:
    """An explanation is copied and shown around: it names what it was asked with, and hides the secrets."""
    from perfmw.runtime.redaction import hidden, shown_field

    vary = {
        name: value and shown_field(name.encode("latin-1"), value.encode("latin-1"), reveal=False)
        for name, value in told.get("vary", {}).items()
    }
    return {**told, "key": hidden(told["key"]), "vary": vary} if "key" in told else dict(told)


def _fields(headers: object) -> list[tuple[bytes, bytes]]:
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ProblemError(422, "headers must map names to strings.")
    return [
        (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in headers.items()
    ]


ENDPOINTS = (
    Endpoint("POST", "/explain", "Why a URL is cached or not; asks the app once", explain, body=SCHEMA),
)
