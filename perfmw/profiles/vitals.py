"""Web Vitals as browsers tell them, by route: an optional beacon and the script that sends it.

The figures come from anybody, so that nothing here makes a profile: only routes that were asked for are
known. What is told is checked, bounded in size and number, and never shown to others but as a percentile.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from perfmw.profiles.extras import VITALS
from perfmw.profiles.store import ProfileStore
from perfmw.profiles.tracked import profile_id

MAX_BODY: Final = 4096
MOST_A_SECOND: Final = 200
LONGEST: Final = 600.0
"""Seconds (and, for CLS, units) beyond which a figure is no figure."""

SCRIPT: Final = b"""\
(() => {
  const target = new URL(document.currentScript.src).pathname.replace(/\\.js$/, "");
  const told = { path: location.pathname };
  const watch = (type, options, take) => {
    try { new PerformanceObserver((list) => list.getEntries().forEach(take))
      .observe({ type, buffered: true, ...options }); } catch { /* this browser does not tell */ }
  };
  watch("largest-contentful-paint", {}, (entry) => { told.LCP = entry.startTime; });
  watch("layout-shift", {}, (entry) => {
    if (!entry.hadRecentInput) told.CLS = (told.CLS || 0) + entry.value;
  });
  watch("event", { durationThreshold: 40 }, (entry) => {
    if (entry.interactionId) told.INP = Math.max(told.INP || 0, entry.duration);
  });
  const [page] = performance.getEntriesByType("navigation");
  if (page) told.TTFB = page.responseStart;
  let sent = false;
  addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden" && !sent) {
      sent = true;
      navigator.sendBeacon(target, JSON.stringify(told));
    }
  });
})();
"""


class VitalsBeacon:
    """Answers ``path`` and ``path.js``."""

    def __init__(self, store: ProfileStore, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._path = path
        self._clock = clock
        self._second = 0.0
        self._left = 0
        self._routes: list[tuple[re.Pattern[str], str]] = []
        self._known = -1

    def wants(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request is for the beacon or its script."""
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        local = path[len(root) :] if root and path.startswith(root) else path
        return local == self._path or local == f"{self._path}.js"

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["path"].endswith(".js"):
            fields = [
                (b"content-type", b"text/javascript; charset=utf-8"),
                (b"cache-control", b"public, max-age=3600"),
                (b"x-content-type-options", b"nosniff"),
            ]
            await _respond(send, 200, fields, SCRIPT)
        elif scope["method"] != "POST":
            await _respond(send, 405, [(b"allow", b"POST")])
        else:
            body = await _body(receive)
            good = body is not None and self.take(body)
            await _respond(send, 204 if good else 400, [])

    def take(self, body: bytes) -> bool:
        """Count what a browser told; whether it could be understood."""
        try:
            told = msgspec.json.decode(body, type=dict[str, float | str])
        except msgspec.DecodeError:
            return False
        path = told.get("path")
        if not isinstance(path, str):
            return False
        tracked = self._store.tracked(profile_id("component", self._route(path) or ""))
        if tracked is not None and self._may():
            for name in VITALS:
                value = told.get(name)
                if isinstance(value, (int, float)):
                    value = value if name == "CLS" else value / 1e3
                    if 0.0 <= value <= LONGEST:
                        tracked.more().vital(name, value)
        return True

    def _may(self) -> bool:
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._left = now, MOST_A_SECOND
        self._left -= 1
        return self._left >= 0

    def _route(self, path: str) -> str | None:
        """The name of the known route that a page's path belongs to; one without parameters first."""
        names = self._store.names()
        if len(names) != self._known:
            pages = [name for name in names if name.startswith("GET /")]
            pages.sort(key=lambda name: (name.count("{"), -len(name)))
            self._routes = [(_pattern(name[4:]), name) for name in pages]
            self._known = len(names)
        return next((name for pattern, name in self._routes if pattern.fullmatch(path)), None)


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{\w+\}", template)
    last = ".+" if template.endswith("{path}") else "[^/]+"
    pattern = "[^/]+".join(re.escape(part) for part in parts)
    if template.endswith("}"):
        pattern = "[^/]+".join(re.escape(part) for part in parts[:-1]) + last
    return re.compile(pattern)


async def _body(receive: Any) -> bytes | None:
    """The request's body, None if it is too long or does not come."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return body


async def _respond(send: Any, status: int, fields: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    if status != 204:
        fields = [*fields, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
