"""The mechanics of ASGI: tee a response, replay a stored one, watch for disconnects, load an app by name.

``perfmw.asgi:app`` is the app named by ``PERFMW_TARGET``, wrapped, for any ASGI server and any number of
workers. It is made on first access, since only then is the target known to be wanted.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # By name, not by import statement: the middleware stands above this room (docs/design.md).
    from importlib import import_module

    wrapped = import_module("perfmw.middleware").from_environment()
    globals()["app"] = wrapped
    return wrapped
