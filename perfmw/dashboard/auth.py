"""Who may see the dashboard, and who may change something through it. Pure ASGI.

- ``loopback``: the client's address is loopback, the Host names loopback (a rebound DNS name does not), and
  no header says that a proxy forwarded the request. Or a valid token, from anywhere.
- ``token``: always a valid token, as ``Authorization: Bearer`` or by a login URL that sets a cookie.

Whatever the mode, a request that may change something needs JSON, and the same origin or a Bearer token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from weakref import WeakKeyDictionary

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from perfmw.dashboard.host import Host
from perfmw.dashboard.problems import ProblemError, problem
from perfmw.dashboard.signin import signin_page

COOKIE = "perfmw_session"
SESSION_SECONDS = 12 * 3600
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PUBLIC = frozenset({"/static/signin.css"})  # what the sign-in page itself needs
FORWARDING = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})

_tokens: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
_tokens_lock = threading.Lock()


def token_of(runtime: Host) -> str:
    """The token of a runtime: the one in its settings, else a random one that lives as long as it does."""
    if runtime.settings.dashboard_token:
        return runtime.settings.dashboard_token
    with _tokens_lock:
        return _tokens.setdefault(runtime, secrets.token_urlsafe(32))


def login_url(runtime: Host, base: str) -> str:
    """The URL that signs a browser in; ``base`` is the server's, such as ``http://127.0.0.1:8000``."""
    path = runtime.settings.dashboard_path.strip("/")
    return f"{base.rstrip('/')}/{path}/login?token={quote(token_of(runtime), safe='')}"


# -- where a request comes from -------------------------------------------------------------------------


def is_loopback_address(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine by ``localhost`` or a loopback literal."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or is_loopback_address(name)


def is_direct_loopback(scope: Scope, headers: Headers) -> bool:
    client = scope.get("client")
    hosts = headers.getlist("host")
    if not client or not is_loopback_address(client[0]) or len(hosts) != 1:
        return False
    forwarded = any(name in FORWARDING or name.startswith("x-forwarded") for name in headers)
    return not forwarded and is_loopback_host(hosts[0])


def is_same_origin(scope: Scope, headers: Headers) -> bool:
    """Whether a browser says that our own page sent this (Sec-Fetch-Site and Origin, both if both come)."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site is not None
    return _authority(origin) == _authority(f"{scope.get('scheme', 'http')}://{headers.get('host', '')}")


def _authority(url: str) -> tuple[str, int | None] | None:
    """Host and port; the scheme's default port is none, since a proxy may have ended TLS before us."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return parts.hostname, None if port in (80, 443) else port


# -- the token -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Throttle:
    """Counts failed attempts a client: ``limit`` in ``window`` seconds, for the last ``clients`` ones."""

    limit: int = 10
    window: float = 60.0
    clients: int = 1_024
    _failures: OrderedDict[str, list[float]] = field(default_factory=OrderedDict)

    def blocked_for(self, client: str, now: float) -> float:
        """Seconds until the client may try again; 0.0 when it may now."""
        recent = [t for t in self._failures.get(client, ()) if now - t < self.window]
        return max(0.0, recent[-self.limit] + self.window - now) if len(recent) >= self.limit else 0.0

    def failed(self, client: str, now: float) -> None:
        recent = [t for t in self._failures.pop(client, []) if now - t < self.window]
        self._failures[client] = [*recent, now][-self.limit :]
        while len(self._failures) > self.clients:
            self._failures.popitem(last=False)


class Tokens:
    """Checks tokens and the session cookies made from them.

    A cookie is ``expiry.signature``, keyed by the token: it does not tell the token, needs no store, and
    holds in every worker that has the same token in its settings.
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.time) -> None:
        self._token = token.encode()
        self._clock = clock
        self._throttle = Throttle()

    def matches(self, given: str, client: str) -> bool:
        """Constant-time comparison. Raises ProblemError 429 while the client has failed too often."""
        now = self._clock()
        wait = self._throttle.blocked_for(client, now)
        if wait > 0:
            detail = f"Too many wrong tokens from {client}; try again in {wait:.0f} s."
            raise ProblemError(429, detail, {"retry-after": str(int(wait) + 1)})
        if hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token):
            return True
        self._throttle.failed(client, now)
        return False

    def new_session(self) -> str:
        expires = str(int(self._clock()) + SESSION_SECONDS)
        return f"{expires}.{self._sign(expires)}"

    def is_session(self, cookie: str) -> bool:
        expires, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(expires).encode()):
            return False
        return int(expires) > self._clock()

    def _sign(self, expires: str) -> str:
        message = b"perfmw dashboard session " + expires.encode("utf-8", "replace")
        return hmac.new(self._token, message, hashlib.sha256).hexdigest()


# -- the guard -------------------------------------------------------------------------------------------


class Guard:
    """Lets through who may pass; answers the login itself. Holds no state of a request.

    ``authorize`` replaces mode and token when the host mounts the dashboard behind its own sign-in.
    """

    def __init__(
        self, app: ASGIApp, *, mode: str, tokens: Tokens, authorize: Callable[[Scope], bool] | None = None
    ) -> None:
        self.app = app
        self.mode = mode
        self.tokens = tokens
        self.authorize = authorize

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await (self._refusal(scope) or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        if scope["type"] != "http":
            return None
        try:
            return self._decide(scope, Headers(scope=scope))
        except ProblemError as exc:
            return problem(exc.status, exc.detail, exc.headers)

    def _decide(self, scope: Scope, headers: Headers) -> Response | None:
        path = local_path(scope)
        if path in PUBLIC and scope["method"] in SAFE_METHODS:
            return None
        if path == "/login" and scope["method"] == "GET" and self.authorize is None:
            return self._login(scope, headers)
        bearer = self._bearer(scope, headers)
        if not (bearer or self._may_look(scope, headers)):
            return self._unauthorized(scope, headers)
        if scope["method"] not in SAFE_METHODS:
            return self._check_unsafe(scope, headers, bearer)
        return None

    def _may_look(self, scope: Scope, headers: Headers) -> bool:
        if self.authorize is not None:
            return self.authorize(scope)
        if self.mode == "loopback" and is_direct_loopback(scope, headers):
            return True
        cookie = _cookie(headers)
        return cookie is not None and self.tokens.is_session(cookie)

    def _bearer(self, scope: Scope, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if self.authorize is not None or scheme.lower() != "bearer":
            return False
        return self.tokens.matches(given.strip(), client_of(scope))

    def _check_unsafe(self, scope: Scope, headers: Headers, bearer: bool) -> Response | None:
        if not bearer and not is_same_origin(scope, headers):
            return problem(403, "Send this from the dashboard's own page, or with Authorization: Bearer.")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return problem(415, "Send application/json.")
        return None

    def _login(self, scope: Scope, headers: Headers) -> Response:
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if not given:
            return signin_page(scope)
        if not self.tokens.matches(given, client_of(scope)):
            return signin_page(scope, "That token is not the one this server has.")
        response = Response(status_code=303, headers={"location": "./"})
        response.set_cookie(
            COOKIE,
            self.tokens.new_session(),
            max_age=SESSION_SECONDS,
            path=scope.get("root_path") or "/",
            secure=scope.get("scheme") == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    def _unauthorized(self, scope: Scope, headers: Headers) -> Response:
        if "text/html" in headers.get("accept", ""):
            return signin_page(scope)
        detail = "Send Authorization: Bearer with the dashboard's token, or open the login URL."
        if self.mode == "loopback":
            detail += " Without a token it answers only direct requests to localhost on this machine."
        return problem(401, detail, {"www-authenticate": 'Bearer realm="perfmw"'})


def _cookie(headers: Headers) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def client_of(scope: Scope) -> str:
    """The client's address for counting failures; a whole IPv6 /64 counts as one client."""
    client = scope.get("client")
    address = client[0] if client else "unknown"
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return str(address)
    if ip.version == 6 and getattr(ip, "ipv4_mapped", None) is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def local_path(scope: Scope) -> str:
    """The path below ``root_path``, as Starlette's Mount leaves it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :]
    return path
