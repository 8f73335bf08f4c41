"""An API operation as data: the router and the OpenAPI document are both made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.headers import compressed
from perfmw.dashboard.problems import ProblemError
from perfmw.dashboard.view import to_json

MAX_BODY = 64 * 1024
MAX_LIMIT = 1_000
MAX_OFFSET = 10**9


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``query``: parameter -> JSON schema, with ``minLength`` where it must be given; ``body``: JSON schema
    of the request's body, None for none.

    ``status``: that of an answer when all goes well.
    """

    method: str
    path: str
    summary: str
    handler: Handler
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    status: int = 200


NOTHING: Mapping[str, Any] = {"type": "object"}
"""The body of an operation that needs none: an empty object, or nothing at all."""
PAGING: Mapping[str, Any] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 100},
    "offset": {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
}

WINDOW: Mapping[str, Any] = {"window": {"type": "number", "enum": [60, 300, 3600, 86400], "default": 300}}
"""The time range in seconds."""


def answer(request: Request, value: Any, status: int = 200) -> Response:
    """JSON of a dataclass or builtins, compressed when the client likes it; 304 when the client has it.

    The ETag is weak, since it is that of all codings (RFC 9110, 8.8.1).
    """
    body = to_json(value)
    if status != 200 or request.method not in ("GET", "HEAD"):
        return compressed(Response(body, status, media_type="application/json"), request.headers)
    etag = f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
    if is_known(request.headers, etag):
        return Response(status_code=304, headers={"etag": etag, "vary": "accept-encoding"})
    response = Response(body, headers={"etag": etag}, media_type="application/json")
    return compressed(response, request.headers)


def is_known(headers: Headers, etag: str) -> bool:
    """Whether If-None-Match names the ETag, by weak comparison (RFC 9110, 13.1.2)."""
    known = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
    return etag.removeprefix("W/") in known or known == ["*"]


def paging(request: Request) -> tuple[int, int]:
    """Limit and offset of the query. Raises ProblemError 422."""
    return _whole(request, "limit", 100, 1, MAX_LIMIT), _whole(request, "offset", 0, 0, MAX_OFFSET)


def page(request: Request, items: Sequence[Any], **beside: Any) -> Response:
    """The asked-for part of a list, how long the list is, and what goes with it."""
    limit, offset = paging(request)
    return page_of(request, items[offset : offset + limit], len(items), **beside)


def page_of(request: Request, items: Sequence[Any], total: int, **beside: Any) -> Response:
    """With links to the pages before and after (RFC 8288)."""
    return part_of(request, items, more=paging(request)[1] + len(items) < total, total=total, **beside)


def part_of(request: Request, items: Sequence[Any], *, more: bool, **beside: Any) -> Response:
    """The same of a list whose length nobody knows: ``more`` says whether it goes on."""
    limit, offset = paging(request)
    response = answer(request, {"items": items, "limit": limit, "offset": offset, "more": more, **beside})
    links = []
    if more:
        links.append(_link(request, limit, offset + limit, "next"))
    if offset > 0:
        links.append(_link(request, limit, max(0, offset - limit), "prev"))
    if links:
        response.headers["link"] = ", ".join(links)
    return response


def _link(request: Request, limit: int, offset: int, rel: str) -> str:
    """Relative, so that it holds behind any prefix."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in PAGING]
    return f'<?{urlencode([*kept, ("limit", limit), ("offset", offset)])}>; rel="{rel}"'


def _whole(request: Request, name: str, default: int, low: int, high: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not low <= int(text[:12]) <= high:
        raise ProblemError(422, f"{name} must be a whole number from {low} to {high}.")
    return int(text)


async def json_object(request: Request, most: int = MAX_BODY) -> dict[str, Any]:
    """The body, of at most so many bytes, as a JSON object; an empty one is empty. Raises ProblemError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise ProblemError(422, f"The body is larger than {most} bytes.")
    try:
        value = msgspec.json.decode(body) if body.strip() else {}
    except msgspec.DecodeError as exc:
        raise ProblemError(400, f"The body is not JSON: {exc}.") from None
    if not isinstance(value, dict):
        raise ProblemError(422, "The body must be a JSON object.")
    return value


__all__ = [
    "NOTHING",
    "PAGING",
    "WINDOW",
    "Context",
    "Endpoint",
    "answer",
    "json_object",
    "page",
    "page_of",
    "paging",
    "part_of",
]
