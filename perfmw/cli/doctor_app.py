"""What ``perfmw doctor`` sees in an app: what stands around perfmw, and what it stands around.

The middlewares are known by the names of their classes, so that none of their packages is needed here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from perfmw import defaults
from perfmw.cli.findings import Finding, error, hint, warning
from perfmw.middleware import PerfMiddleware
from perfmw.plugins import Plugins
from perfmw.settings import Settings

_INNER = ("app", "_app", "asgi_app", "application", "wrapped", "inner", "_asgi_app")
_DEEPEST = 50
_ADD_LAST = (
    "Put perfmw outermost: app = PerfMiddleware(app) behind everything else, or call "
    "app.add_middleware(PerfMiddleware) after every other add_middleware."
)

OUTSIDE: Mapping[str, tuple[str, str, str]] = {
    "session": (
        "error",
        "sets its cookie after perfmw has stored the response: a page made for one visitor's session can be "
        "stored as if it were for all",
        _ADD_LAST,
    ),
    "gzip": ("warning", "compresses every hit anew", _ADD_LAST),
    "brotli": ("warning", "compresses every hit anew", _ADD_LAST),
    "compress": ("warning", "compresses every hit anew", _ADD_LAST),
    "opentelemetry": (
        "note",
        "makes a span of every hit, too",
        "Leave it there if hits are to be in traces.",
    ),
    "auth": (
        "note",
        "runs for hits too",
        "Leave it there if it looks at anything but Cookie and Authorization (an API key, an address): "
        "perfmw guards responses to those two alone. Else put perfmw outermost.",
    ),
    "csrf": ("error", "sets its cookie, or makes its token, after perfmw has stored the response", _ADD_LAST),
    "locale": ("note", "runs for hits too", _ADD_LAST),
}
"""By a part of the class's name: how bad it is that such a middleware is outside of perfmw, why, the fix."""

INSIDE: Mapping[str, tuple[str, str, str]] = {
    "cors": (
        "warning",
        "answers requests without Origin without its headers and without Vary: stored, such a response fails "
        "in a browser on another site",
        "Put CORS outside of perfmw (it costs next to nothing), or name it in the rule: vary=['origin'].",
    ),
    "proxyheaders": (
        "warning",
        "sets scheme and client after perfmw has looked at them",
        "Put it outside of perfmw, or let the server do it (uvicorn --proxy-headers).",
    ),
    "requestid": (
        "note",
        "gives the id of the first request to everyone who gets the stored response",
        "Put it outside of perfmw.",
    ),
    "correlation": (
        "note",
        "gives the id of the first request to everyone who gets the stored response",
        "Put it outside of perfmw.",
    ),
    "ratelimit": ("note", "does not see hits", "Put it outside of perfmw, or use perfmw's own quotas."),
    "slowapi": ("note", "does not see hits", "Put it outside of perfmw, or use perfmw's own quotas."),
    "prometheus": ("note", "does not count hits", "Use perfmw's own metrics, or put it outside of perfmw."),
    "cachemiddleware": (
        "warning",
        "is a second cache: invalidating in perfmw leaves what it holds",
        "Take it away.",
    ),
}
"""The same for inside."""


@dataclass(frozen=True, slots=True)
class Part:
    """A middleware or an app: its class's name, where that is from, and the object or its arguments."""

    name: str
    module: str
    thing: Any
    arguments: Mapping[str, Any]

    @property
    def is_perfmw(self) -> bool:
        return self.name == PerfMiddleware.__name__ and self.module == PerfMiddleware.__module__

    @property
    def settings(self) -> Settings | None:
        """The settings of a perfmw, if it has its own."""
        runtime = getattr(self.thing, "runtime", None) or self.arguments.get("runtime")
        found = getattr(runtime, "settings", None) or self.arguments.get("settings")
        return found if isinstance(found, Settings) else None

    def plugins(self, settings: Settings) -> Plugins | None:
        """The plugins of a perfmw, with those that code gave it: as it runs, or as it will."""
        runtime = getattr(self.thing, "runtime", None) or self.arguments.get("runtime")
        known: Plugins | None = getattr(runtime, "plugins", None)
        given = self.arguments.get("plugins", ())
        return known or (Plugins(settings, given, defaults=defaults) if given else None)


def parts_of(app: object) -> list[Part]:
    """What a request passes, outermost first, as far as it can be told without starting the app."""
    found: list[Part] = []
    seen: set[int] = set()
    while app is not None and id(app) not in seen and len(found) < _DEEPEST:
        seen.add(id(app))
        found.append(_part(type(app), app, {}))
        found += _declared(app)
        app = _inner(app)
    return found


def _part(cls: Any, thing: Any, arguments: Mapping[str, Any]) -> Part:
    name = getattr(cls, "__name__", type(cls).__name__)
    return Part(name, getattr(cls, "__module__", ""), thing, arguments)


def _declared(app: object) -> Iterator[Part]:
    """Middlewares that a framework keeps in a list until it starts."""
    for one in getattr(app, "user_middleware", None) or ():  # Starlette, FastAPI
        yield _part(getattr(one, "cls", one), None, getattr(one, "kwargs", {}))
    listed = getattr(app, "middleware", None)
    for one in listed if isinstance(listed, list | tuple) else ():  # Litestar
        yield _part(getattr(one, "middleware", one), None, getattr(one, "kwargs", {}))
    if getattr(app, "cors_config", None) is not None:
        yield Part("CORSMiddleware", "litestar", None, {})


def _inner(app: object) -> object | None:
    if isinstance(app, type) or hasattr(app, "user_middleware"):
        return None  # a framework: what it holds besides are its routes
    held = getattr(app, "__dict__", {})
    for name in _INNER:
        if callable(inner := held.get(name)):
            owner: object | None = getattr(inner, "__self__", None)  # a bound method stands for its object
            return owner if owner is not None else inner
    return None


def settings_of(parts: list[Part]) -> Settings | None:
    """The settings of the perfmw among ``parts``, where code gave them."""
    return next((found for part in parts if part.is_perfmw and (found := part.settings)), None)


def plugins_of(parts: list[Part], settings: Settings) -> Plugins | None:
    """The plugins of the perfmw among ``parts``, where there is one."""
    return next((found for part in parts if part.is_perfmw and (found := part.plugins(settings))), None)


def check_app(app: object, parts: list[Part], settings: Settings) -> Iterator[Finding]:
    """What is wrong with where perfmw stands. Without a perfmw, as ``perfmw run`` would wrap it."""
    places = [place for place, part in enumerate(parts) if part.is_perfmw]
    if len(places) > 1:
        yield error(
            "perfmw-twice",
            f"perfmw is in the app {len(places)} times: it counts and stores every response as often",
            "Keep the outermost.",
        )
    if not places:
        yield from _without(app)
    first = places[0] if places else -1
    yield from _misplaced(parts[: max(first, 0)], OUTSIDE, "outside of perfmw")
    yield from _misplaced(parts[first + 1 :], INSIDE, "inside of perfmw")
    yield from _sessions(parts, settings)
    yield from _traces(parts, settings)
    if any(getattr(part.thing, "debug", False) is True for part in parts):
        yield hint(
            "debug", "the app runs in debug mode: errors show its code", "Switch it off in production."
        )


def _misplaced(parts: list[Part], table: Mapping[str, tuple[str, str, str]], where: str) -> Iterator[Finding]:
    for part in parts:
        for word, (severity, why, fix) in table.items():
            if word in part.name.lower() and "middleware" in part.name.lower():
                kind = {"error": error, "warning": warning}.get(severity, hint)
                yield kind("middleware-order", f"{part.name}, {where}, {why}", fix)
                break


def _without(app: object) -> Iterator[Finding]:
    mounted = next((path for path, one in _mounts(app) if any(p.is_perfmw for p in parts_of(one))), None)
    if mounted is not None:
        yield error(
            "no-lifespan",
            f"perfmw is in the app mounted at {mounted or '/'} alone, and mounted apps get no lifespan: it "
            "starts with the first request, never stops in order, and keeps nothing it learned",
            _ADD_LAST,
        )
    else:
        yield hint(
            "not-installed",
            "the app itself does not contain perfmw",
            "Serve it by `perfmw run`, or add PerfMiddleware: `perfmw init` prints the lines.",
        )


def _mounts(app: object) -> Iterator[tuple[str, object]]:
    for route in getattr(app, "routes", None) or ():
        inner = getattr(route, "app", None)
        if inner is not None and not hasattr(route, "endpoint"):
            yield str(getattr(route, "path", "")), inner


def _sessions(parts: list[Part], settings: Settings) -> Iterator[Finding]:
    shared = [rule.path for rule in settings.cache_rules if rule.shared]
    if shared and any("session" in part.name.lower() for part in parts):
        yield warning(
            "shared-session",
            f"the app has sessions, and rules say shared=True ({', '.join(shared[:3])}): what those pages "
            "show of a session goes to everyone",
            "Keep shared=True for pages that read no session and set no cookie.",
        )


def _traces(parts: list[Part], settings: Settings) -> Iterator[Finding]:
    own = [part for part in parts if part.name == "OpenTelemetryMiddleware"]
    marked = any(getattr(part.thing, "_is_instrumented_by_opentelemetry", False) for part in parts)
    automatic = "opentelemetry.instrumentation.auto_instrumentation" in sys.modules
    if len(own) > 1:
        yield error(
            "double-instrumentation",
            f"{len(own)} OpenTelemetryMiddleware are in the app: every request has as many server spans",
            "Instrument it once: by code or by opentelemetry-instrument, not both.",
        )
    if (own or marked or automatic) and settings.trace_ratio > 0:
        yield warning(
            "double-instrumentation",
            "OpenTelemetry already makes a server span of every request, and perfmw opens its own for "
            f"{settings.trace_ratio:.0%} of them (trace_ratio)",
            "Set trace_ratio = 0 (perfmw profiles from the other's spans), or take the instrumentation away.",
        )
