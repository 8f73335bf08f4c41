"""The name of the route a request matched, never its raw path.

Read after the app has run: routers leave in the scope what they matched. Frameworks that leave nothing
there (Django, Quart) are asked by their own resolver, if the app is known.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from types import MethodType
from typing import Any, Final

from perfmw.profiles.paths import PathNames

Scope = Mapping[str, Any]
Resolver = Callable[[Scope], str | None]

METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
)
OTHER_METHOD: Final = "_OTHER"
UNMATCHED: Final = "(unmatched)"
OTHER: Final = "other"

_MAX_CACHED: Final = 4096
_CONVERTER: Final = re.compile(r"\{(\w+):[^{}]*\}|<(?:[^<>:]*:)?(\w+)>")
_GROUP: Final = re.compile(r"\(\?P<(\w+)>(?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)")


def plain_template(template: str) -> str:
    """A template with parameters as ``{name}``, made from ``<int:id>``, ``{id:int}`` or ``(?P<id>…)``."""
    text = _GROUP.sub(r"{\1}", template)
    text = _CONVERTER.sub(lambda found: "{" + (found[1] or found[2]) + "}", text)
    text = text.removeprefix("^").removesuffix("$").removesuffix(r"\Z")
    return text if text.startswith("/") else "/" + text


class Routes:
    """Names the routes of one app; bounded in what it remembers, and it never raises.

    ``app`` is the app the middleware wraps, needed for Django and Quart alone. ``max_names`` bounds the
    names made from paths, for apps without a router that perfmw knows.
    """

    def __init__(self, app: object = None, max_names: int = 200) -> None:
        self._resolve = _resolver(app)
        self._paths = PathNames(max_names, OTHER)
        self._names: dict[tuple[int, int, str, str], str] = {}
        self._templates: dict[tuple[str, str], str] = {}
        self._kept: list[object] = []
        self._endpoints: dict[int, str] = {}

    def name(self, scope: Scope, method: str, status: int = 0) -> str:
        """``GET /items/{id}`` for a request that has been answered with ``status`` (0: not known).

        A request that no route matched is ``GET (unmatched)``, so that scanners cannot fill the profiles.
        """
        try:
            included = scope["fastapi"].get("effective_route_context") if "fastapi" in scope else None
            return self._names[id(scope["route"]), id(included), method, scope["root_path"]]
        except Exception:
            return self._templated(scope, method, status)

    def _templated(self, scope: Scope, method: str, status: int) -> str:
        try:
            return self._templates[scope["path_template"], method]
        except Exception:
            return self._find(scope, method, status)

    def _find(self, scope: Scope, method: str, status: int) -> str:
        verb = method if method in METHODS else OTHER_METHOD
        try:
            template = self._template(scope, status)
        except Exception:
            template = UNMATCHED
        name = f"{verb} {template}"
        if verb == method:
            self._remember(scope, method, name)
        return name

    def _remember(self, scope: Scope, method: str, name: str) -> None:
        route, included, template = scope.get("route"), _included(scope), scope.get("path_template")
        if route is not None and len(self._names) < _MAX_CACHED:
            # Both are kept alive, so that an id can never come to mean another route.
            self._kept.append((route, included))
            self._names[id(route), id(included), method, scope.get("root_path", "")] = name
        elif template and len(self._templates) < _MAX_CACHED:
            self._templates[template, method] = name

    def _template(self, scope: Scope, status: int) -> str:
        found = self.template(scope)
        if found is not None:
            return found
        if status == 404 or "router" in scope or "litestar_app" in scope or self._resolve is not None:
            return UNMATCHED
        return self._paths.name(str(scope.get("path", "/")))

    def template(self, scope: Scope) -> str | None:
        """The matched template alone, None when no route is known."""
        route = scope.get("route")
        own = _own_template(scope, route)
        if own is not None:
            return plain_template(_mount_prefix(scope, route) + own)
        template = scope.get("path_template")
        if isinstance(template, str) and template:
            return plain_template(template)
        if self._resolve is not None:
            return self._resolve(scope)
        return self._by_endpoint(scope)

    def _by_endpoint(self, scope: Scope) -> str | None:
        """Starlette before 1.0 names the endpoint but not the route."""
        endpoint, router = scope.get("endpoint"), scope.get("router")
        if endpoint is None or router is None:
            return None
        known = self._endpoints.get(id(endpoint))
        if known is not None:
            return known
        found = list(_templates_of(router, endpoint, ""))
        if len(found) == 1 and len(self._endpoints) < _MAX_CACHED:
            self._kept.append(endpoint)
            self._endpoints[id(endpoint)] = found[0]
        matching = [one for one in found if _fits(one, _path_in_app(scope))]
        return next(iter(matching or found), None)


def _included(scope: Scope) -> object:
    """FastAPI serves a route of an included router through a context that knows the prefix."""
    extra = scope.get("fastapi")
    return extra.get("effective_route_context") if isinstance(extra, Mapping) else None


def _own_template(scope: Scope, route: object) -> str | None:
    """The template of a route within its router."""
    if hasattr(route, "app") and not hasattr(route, "endpoint"):
        return "/{path}"  # a mount: root_path has its prefix
    included = _included(scope)
    if included is not None and getattr(included, "original_route", None) is route:
        route = included
    own = getattr(route, "path_format", None) or getattr(route, "path", None)
    return own if isinstance(own, str) else None


def _path_in_app(scope: Scope) -> str:
    path, root = str(scope.get("path", "/")), str(scope.get("app_root_path", ""))
    return path.removeprefix(root) or "/"


def _mount_prefix(scope: Scope, route: object) -> str:
    """The mounts above a Starlette route, parameters by name; empty where the app itself is served."""
    root = str(scope.get("root_path", ""))
    # Starlette notes the server's own prefix once a mount has extended root_path.
    outer = scope.get("app_root_path")
    if not isinstance(outer, str) or not root.startswith(outer) or root == outer:
        return ""
    own = getattr(route, "param_convertors", {})
    params = {str(value): name for name, value in scope.get("path_params", {}).items() if name not in own}
    segments = root[len(outer) :].split("/")
    return "/".join("{" + params[segment] + "}" if segment in params else segment for segment in segments)


def _templates_of(router: object, endpoint: object, prefix: str) -> Iterator[str]:
    for route in getattr(router, "routes", None) or ():
        path = getattr(route, "path", "")
        if getattr(route, "endpoint", None) is endpoint:
            yield plain_template(prefix + path)
        elif getattr(route, "app", None) is endpoint:
            yield plain_template(prefix + path + "/{path}")
        elif getattr(route, "routes", None):
            yield from _templates_of(route, endpoint, prefix + path)


def _fits(template: str, path: str) -> bool:
    pattern = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    return re.fullmatch(re.sub(r"\{\w+\}", ".+", pattern), path) is not None


def _resolver(app: object) -> Resolver | None:
    """The framework's own resolver for an app that leaves nothing in the scope."""
    for layer in _layers(app):
        module = type(layer).__module__
        if module.startswith("django.") and hasattr(layer, "resolve_request"):
            return _django_template
        if hasattr(layer, "url_map") and hasattr(layer, "asgi_app"):
            return _quart_resolver(layer)
    return None


def _layers(app: object) -> Iterator[object]:
    """The app and what it wraps, as far as middlewares by convention call it ``app``."""
    for _ in range(16):
        if app is None:
            return
        if isinstance(app, MethodType):  # Quart is wrapped as ``app.asgi_app = …(app.asgi_app)``
            app = app.__self__
        yield app
        app = getattr(app, "app", None)


def _django_template(scope: Scope) -> str | None:
    urls = sys.modules["django.urls"]
    path = str(scope.get("path", "/")).removeprefix(str(scope.get("root_path", "")).rstrip("/"))
    try:
        match = urls.resolve(path or "/")
    except urls.Resolver404:
        return None
    return plain_template(str(match.route))


def _quart_resolver(app: Any) -> Resolver:
    def resolve(scope: Scope) -> str | None:
        path = str(scope.get("path", "/")).removeprefix(str(scope.get("root_path", "")).rstrip("/"))
        adapter = app.url_map.bind(_host(scope), url_scheme=str(scope.get("scheme", "http")))
        try:
            rule, _ = adapter.match(path or "/", method=scope.get("method", "GET"), return_rule=True)
        except Exception:  # werkzeug says "not found" and "redirect" by exceptions of its own
            return None
        return plain_template(str(rule.rule))

    return resolve


def _host(scope: Scope) -> str:
    for name, value in scope.get("headers", ()):
        if name == b"host":
            return str(value, "latin-1")
    return "localhost"


_default = Routes()


def route_of(scope: Scope, method: str, status: int = 0) -> str:
    """``Routes.name`` of a namer shared by the process, for apps that leave their route in the scope."""
    return _default.name(scope, method, status)


def route_template(scope: Scope, app: object = None) -> str | None:
    """The template a request matched, None when no route is known. Slow: ``Routes`` remembers."""
    try:
        return Routes(app).template(scope)
    except Exception:
        return None
