"""Find the app that ``module:attribute`` names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from perfmw.asgi.types import ASGIApp


class TargetError(ValueError):
    """The target cannot be served; the message names it, says why and how to mend it."""


def load_app(target: str, *, factory: bool = False, app_dir: str | None = None) -> ASGIApp:
    """Import ``module:attribute`` (attribute may be dotted; default ``app``) and return the app.

    :param factory: the attribute is a callable that makes the app.
    :param app_dir: put first on ``sys.path``; default the current directory.
    :raises TargetError: the module or attribute does not exist, or is no app. An exception raised by
        the module's own code is not changed.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or target.count(":") > 1:
        raise TargetError(f"{target!r} is not of the form module:attribute, for example main:app")
    directory = str(Path(app_dir or ".").resolve())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    module = _import(module_name, target, directory)
    found = _attribute(module, attribute or "app", target)
    if not callable(found):
        raise TargetError(f"{target!r} is a {type(found).__name__}, not an ASGI app")
    if factory:
        found = cast(Callable[[], Any], found)()
        if not callable(found):
            raise TargetError(f"the factory {target!r} returned a {type(found).__name__}, not an ASGI app")
    return cast(ASGIApp, found)


def _import(name: str, target: str, directory: str) -> Any:
    try:
        missing = find_spec(name) is None
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # a package on the way imports something that is not there
        missing = True
    if missing:
        raise TargetError(
            f"no module named {name!r} for target {target!r} (looked in {directory} and sys.path)"
        )
    return import_module(name)


def _attribute(module: Any, dotted: str, target: str) -> Any:
    found = module
    for part in dotted.split("."):
        if not hasattr(found, part):
            close = get_close_matches(part, [name for name in dir(found) if not name.startswith("_")], n=3)
            hint = f"; did you mean {', '.join(close)}?" if close else ""
            raise TargetError(f"{target!r}: {module.__name__!r} has no attribute {part!r}{hint}")
        found = getattr(found, part)
    return found
