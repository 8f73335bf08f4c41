"""Who may see the dashboard, and who may change something through it. Pure ASGI.

- ``loopback``: the client's address is loopback, the Host names loopback (a rebound DNS name does not), and
  no header says that a proxy forwarded the request. Or a valid token, from anywhere.
- ``token``: always a valid token, as ``Authorization: Bearer`` or by a login URL that sets a cookie.
- a callable of the host's: whatever it says, and nothing else.

There are two roles: ``read`` may ask for everything by GET, ``operate`` may change something too. Whatever
the mode, a request that may change something names one known host, and needs JSON, and the same origin or a
Bearer token.
"""

from __future__ import annotations

import inspect
import secrets
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs, quote
from weakref import WeakKeyDictionary

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from perfmw.dashboard.host import Host
from perfmw.dashboard.origins import (
    client_of,
    is_direct_loopback,
    is_https,
    is_known_host,
    is_same_origin,
    local_path,
)
from perfmw.dashboard.problems import ProblemError, problem
from perfmw.dashboard.signin import signin_page
from perfmw.dashboard.tokens import HASHED, SESSION_SECONDS, Role, Tokens

COOKIE: Final = "perfmw_session"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
PUBLIC: Final = frozenset({"/static/signin.css"})  # what the sign-in page itself needs
MOST_FORM: Final = 4_096

Verdict = bool | Role | None
Authorize = Callable[[Scope], Verdict | Awaitable[Verdict]]
"""Of the ASGI scope: a role, True for ``operate``, or what is false for nobody."""

_tokens: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
_tokens_lock = threading.Lock()


def token_of(runtime: Host) -> str:
    """The token to operate a runtime: the one in its settings, else a random one that lives as it does."""
    if runtime.settings.dashboard_token:
        return runtime.settings.dashboard_token
    with _tokens_lock:
        return _tokens.setdefault(runtime, secrets.token_urlsafe(32))


def tokens_of(runtime: Host) -> Tokens:
    known: dict[Role, str] = {"operate": token_of(runtime)}
    if runtime.settings.dashboard_read_token:
        known["read"] = runtime.settings.dashboard_read_token
    return Tokens(known)


def login_url(runtime: Host, base: str) -> str:
    """The URL that signs a browser in; ``base`` is the server's, such as ``http://127.0.0.1:8000``.

    It asks for the token where the settings hold only its hash.
    """
    token = token_of(runtime)
    path = f"{base.rstrip('/')}/{runtime.settings.dashboard_path.strip('/')}/login"
    return path if token.startswith(HASHED) else f"{path}?token={quote(token, safe='')}"


def role_of(scope: Scope) -> Role:
    """The role that the guard found for a request it let through."""
    role: Role = scope.get("perfmw.role", "read")
    return role


@dataclass(frozen=True, slots=True)
class Visitor:
    """``way``: "bearer", "cookie" or "trusted", which is by where it comes from or by the host's word."""

    role: Role
    way: str


class Guard:
    """Lets through who may pass; answers the login itself. Holds no state of a request.

    ``authorize`` replaces mode and tokens when the host mounts the dashboard behind its own sign-in.
    ``hosts``: the names the dashboard may be asked under, all if empty. ``trusted``: a proxy of ours, and
    nobody else, sets ``X-Forwarded-Host``, ``-Proto`` and ``-For``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        mode: str,
        tokens: Tokens,
        authorize: Authorize | None = None,
        hosts: Sequence[str] = (),
        trusted: bool = False,
    ) -> None:
        self.app = app
        self.mode = mode
        self.tokens = tokens
        self.authorize = authorize
        self.hosts = hosts
        self.trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await self.app(scope, receive, send)
        else:
            scope = dict(scope)
            await (await self._refusal(scope, receive) or self.app)(scope, receive, send)

    async def _refusal(self, scope: Scope, receive: Receive) -> Response | None:
        try:
            return await self._decide(scope, Headers(scope=scope), receive)
        except ProblemError as exc:
            return problem(exc.status, exc.detail, exc.headers)

    async def _decide(self, scope: Scope, headers: Headers, receive: Receive) -> Response | None:
        path, safe = local_path(scope), scope["method"] in SAFE_METHODS
        if (self.hosts or not safe) and not is_known_host(headers, self.trusted, self.hosts):
            return problem(403, "The dashboard is not known under the host that was asked for.")
        if path in PUBLIC and safe:
            return None
        if path == "/login" and self.authorize is None:
            return await self._login(scope, headers, receive)
        visitor = await self._visitor(scope, headers)
        if visitor is None:
            return self._unauthorized(scope, headers)
        scope["perfmw.role"], scope["perfmw.signed_in"] = visitor.role, visitor.way == "cookie"
        return None if safe else self._check_unsafe(scope, headers, visitor)

    async def _visitor(self, scope: Scope, headers: Headers) -> Visitor | None:
        if self.authorize is not None:
            return await self._ask(scope)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and given.strip():  # none is no guess: a shell's variable was not set
            role = self.tokens.role_of(given.strip(), client_of(scope, self.trusted))
            if role is not None:
                return Visitor(role, "bearer")
        if self.mode == "loopback" and is_direct_loopback(scope, headers):
            return Visitor("operate", "trusted")
        cookie = _cookie(headers)
        role = self.tokens.session(cookie) if cookie is not None else None
        return Visitor(role, "cookie") if role is not None else None

    async def _ask(self, scope: Scope) -> Visitor | None:
        assert self.authorize is not None
        said = self.authorize(scope)
        verdict = await said if inspect.isawaitable(said) else said
        if verdict is True or verdict == "operate":
            return Visitor("operate", "trusted")
        return Visitor("read", "trusted") if verdict == "read" else None

    def _check_unsafe(self, scope: Scope, headers: Headers, visitor: Visitor) -> Response | None:
        if visitor.way != "bearer" and not is_same_origin(scope, headers, self.trusted):
            return problem(403, "Send this from the dashboard's own page, or with Authorization: Bearer.")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return problem(415, "Send application/json.")
        if local_path(scope) == "/logout":
            response = Response(status_code=204)
            response.delete_cookie(COOKIE, path=scope.get("root_path") or "/", httponly=True)
            return response
        if visitor.role != "operate":
            return problem(403, "You may look, but not change anything: that needs the token to operate.")
        return None

    async def _login(self, scope: Scope, headers: Headers, receive: Receive) -> Response:
        if scope["method"] == "POST":
            if not is_same_origin(scope, headers, self.trusted):
                return problem(403, "Sign in on the dashboard's own page.")
            form = await _form(receive)
        elif scope["method"] in SAFE_METHODS:
            form = scope.get("query_string", b"").decode("latin-1")
        else:
            return problem(405, "Sign in by GET or POST.", {"allow": "GET, POST"})
        given = parse_qs(form).get("token", [""])[0]
        if not given:
            return signin_page(scope)
        if self.tokens.role_of(given, client_of(scope, self.trusted)) is None:
            return signin_page(scope, "That token is not the one this server has.")
        return self._signed_in(scope, headers, given)

    def _signed_in(self, scope: Scope, headers: Headers, token: str) -> Response:
        response = Response(status_code=303, headers={"location": "./"})
        response.set_cookie(
            COOKIE,
            self.tokens.new_session(token),
            max_age=SESSION_SECONDS,
            path=scope.get("root_path") or "/",
            secure=is_https(scope, headers, self.trusted),
            httponly=True,
            samesite="strict",
        )
        return response

    def _unauthorized(self, scope: Scope, headers: Headers) -> Response:
        if self.authorize is not None:
            return problem(403, "The app that this dashboard is part of does not let you in.")
        if "text/html" in headers.get("accept", ""):
            return signin_page(scope)
        detail = "Send Authorization: Bearer with the dashboard's token, or open the login URL."
        if self.mode == "loopback":
            detail += " Without a token it answers only direct requests to localhost on this machine."
        return problem(401, detail, {"www-authenticate": 'Bearer realm="perfmw"'})


async def _form(receive: Receive) -> str:
    """The body of a small form. Raises ProblemError 422 for a larger one."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
        if len(body) > MOST_FORM:
            raise ProblemError(422, f"The form is larger than {MOST_FORM} bytes.")
    return body.decode("latin-1")


def _cookie(headers: Headers) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None
