"""Errors as ``application/problem+json`` (RFC 9457), and the boundary no exception crosses."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from html import escape

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perfmw.dashboard.origins import base_of, local_path

logger = logging.getLogger("perfmw.dashboard")

TITLES = {
    400: "Bad request",
    401: "Sign in first",
    403: "Refused",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    415: "Unsupported media type",
    422: "The request does not make sense",
    429: "Too many attempts",
    500: "Internal error",
    501: "Not available",
    503: "Service Unavailable",
}


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} · perfmw</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="{base}static/signin.css"></head>
<body><main><h1>{title}</h1><p role="status">{detail}</p>
<p><a href="{base}">Overview</a></p></main></body></html>
"""


class ProblemError(Exception):
    """Raised by handlers; becomes the response. ``detail`` is for people and says what to do."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem document; ``type`` is about:blank, so ``title`` names the status."""
    body = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status, "detail": detail}
    return Response(msgspec.json.encode(body), status, headers, "application/problem+json")


async def on_problem(request: Request, exc: Exception) -> Response:
    """A page for who asked for one, else a problem document."""
    if isinstance(exc, ProblemError):
        status, detail, headers = exc.status, exc.detail, exc.headers
    elif isinstance(exc, HTTPException):
        status, detail, headers = exc.status_code, _http_detail(request, exc), dict(exc.headers or {})
    else:
        raise exc
    path, accept = local_path(request.scope), request.headers.get("accept", "")
    if request.method == "GET" and "text/html" in accept and not path.startswith("/api/"):
        title = escape(TITLES.get(status, "Error"))
        page = PAGE.format(title=title, detail=escape(detail), base=base_of(request.scope))
        return HTMLResponse(page, status, headers)
    return problem(status, detail, headers)


def _http_detail(request: Request, exc: HTTPException) -> str:
    if exc.status_code == 404:
        return f"There is nothing at {request.url.path}."
    if exc.status_code == 405:
        return f"{request.method} is not allowed here."
    return exc.detail


class Boundary:
    """Answers 500 for an exception of the dashboard itself, so that it never reaches the host app."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            logger.exception("the dashboard failed at %s", scope.get("path"))
            if started or scope["type"] != "http":
                raise
            await _failed(error)(scope, receive, send)


def _failed(error: Exception) -> Response:
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return problem(
            503, "No file descriptor is left to open the page's files with.", {"retry-after": "10"}
        )
    return problem(500, "The dashboard failed; the server's log says why.")
