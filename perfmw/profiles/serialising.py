"""How long sampled requests take to make their response's body: Starlette's JSON responses tell.

While spans are wanted, ``JSONResponse.render`` looks whether its request is watched; it is as it was
otherwise, and put back when the last runtime that wants spans stops.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any

from perfmw.profiles.breakdown import watched

_users = 0
_original: Any = None


def watch_serialising() -> bool:
    """Begin; False where the app does not use Starlette (yet)."""
    global _users, _original
    responses = sys.modules.get("starlette.responses")
    if responses is None:
        return False
    _users += 1
    if _users > 1:
        return True
    _original = original = responses.JSONResponse.render

    def render(self: Any, content: Any) -> Any:
        watch = watched.get()
        if watch is None:
            return original(self, content)
        begun = perf_counter()
        try:
            return original(self, content)
        finally:
            watch.serialising += perf_counter() - begun

    responses.JSONResponse.render = render
    return True


def leave_serialising() -> None:
    """End what ``watch_serialising`` began."""
    global _users, _original
    _users -= 1
    if _users == 0:
        sys.modules["starlette.responses"].JSONResponse.render = _original
        _original = None
