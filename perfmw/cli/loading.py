"""Load the app that a command was told to serve, and say plainly what is wrong when that fails.

``python -m perfmw.cli.loading TARGET [--factory]`` tries it in a process of its own.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType

import perfmw.asgi
from perfmw.asgi.target import TargetError, load_app
from perfmw.asgi.types import ASGIApp
from perfmw.cli.output import Failure, Refusal
from perfmw.settings import SettingsError


def hand_down(target: str, *, factory: bool) -> None:
    """Tell ``perfmw.asgi:app``, in this process and in those it starts, what to serve."""
    os.environ["PERFMW_TARGET"] = target
    os.environ["PERFMW_TARGET_FACTORY"] = "1" if factory else "0"


def load(target: str, *, factory: bool = False, bare: bool = False) -> ASGIApp:
    """The app, wrapped unless ``bare``. Wrapped, it is what ``perfmw.asgi:app`` is from then on.

    :raises Refusal: there is no such app, or a setting is wrong.
    :raises Failure: the app's own code raised; the message holds its traceback.
    """
    hand_down(target, factory=factory)
    try:
        app: ASGIApp = load_app(target, factory=factory) if bare else perfmw.asgi.app.load()
    except (TargetError, SettingsError) as error:
        raise Refusal(str(error)) from None
    except Exception as error:
        raise Failure(f"{target} could not be loaded:\n{_from_user_code(error)}") from None
    hint = "" if factory else _factory_hint(app if bare else getattr(app, "app", app))
    if hint:
        raise Refusal(f"{target!r} {hint}")
    return app


def _from_user_code(error: Exception) -> str:
    """The traceback without the frames that only lead to the user's module."""
    frames = error.__traceback__
    while frames is not None and _is_machinery(frames):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip()


def _is_machinery(frames: TracebackType) -> bool:
    name = frames.tb_frame.f_code.co_filename
    ours = Path(__file__).parents[1]
    return "importlib" in name or (Path(name).is_relative_to(ours) and "_shop" not in name)


def _factory_hint(app: object) -> str:
    """What to say of a callable that makes an app instead of being one."""
    if not (inspect.isfunction(app) or inspect.isclass(app)):
        return ""
    needed = _required_arguments(app)
    if needed is None or needed in (1, 3):
        return ""  # ASGI 2 takes the scope, ASGI 3 scope, receive and send
    kind = "class" if inspect.isclass(app) else "function"
    if needed:
        return f"is a {kind} that takes {needed} arguments, not an ASGI app"
    return f"is a {kind} without arguments, not an ASGI app; if it makes the app, add --factory"


def _required_arguments(function: object) -> int | None:
    try:
        parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(
        parameter.default is parameter.empty and parameter.kind in positional for parameter in parameters
    )


def main() -> None:
    target, *flags = sys.argv[1:]
    try:
        load(target, factory="--factory" in flags)
    except (Refusal, Failure) as error:
        error.show()
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
