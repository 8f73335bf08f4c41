"""The servers that ``perfmw run`` can start, each given ``perfmw.asgi:app`` and a port known to be free."""

from __future__ import annotations

import importlib.util
import inspect
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from perfmw.asgi.target import TargetError, load_app
from perfmw.cli.listening import PortError, listen
from perfmw.cli.output import Failure, Refusal

_PACKAGES = {"uvicorn": "uvicorn[standard]", "granian": "granian", "hypercorn": "hypercorn"}
_APP = "perfmw.asgi:app"


@dataclass(frozen=True, slots=True)
class Plan:
    """Where and how to serve."""

    host: str
    port: int
    workers: int = 1
    reload: bool = False


def require(server: str) -> None:
    """Refuse a server that is not installed, with the command that installs it."""
    if importlib.util.find_spec(server) is None:
        raise Refusal(f"{server} is not installed; install it with: pip install '{_PACKAGES[server]}'")


def open_port(plan: Plan) -> socket.socket:
    try:
        return listen(plan.host, plan.port)
    except PortError as error:
        raise Refusal(str(error)) from None


def check_target(target: str, *, factory: bool, elsewhere: bool) -> None:
    """Refuse a target that cannot be served, before a server starts and hides the reason.

    :param elsewhere: other processes will serve it: look in a process of its own, so that the app is not
        made once more in this one.
    """
    if elsewhere:
        command = [sys.executable, "-m", "perfmw.cli.serving", target, *["--factory"] * factory]
        if code := subprocess.run(command, stdin=subprocess.DEVNULL).returncode:  # noqa: S603 - our own module
            sys.exit(code)
        return
    try:
        app = load_app(target, factory=factory)
    except TargetError as error:
        raise Refusal(str(error)) from None
    except Exception as error:
        raise Failure(f"{target}: importing it failed\n{_from_user_code(error)}") from None
    if not factory and (hint := _factory_hint(app)):
        raise Refusal(f"{target!r} {hint}")


def _from_user_code(error: Exception) -> str:
    """The traceback without the frames that only lead to the user's module."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and _is_machinery(frames):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip()


def _is_machinery(frames: TracebackType) -> bool:
    name = frames.tb_frame.f_code.co_filename
    return "importlib" in name or Path(name).is_relative_to(Path(__file__).parents[1])


def _factory_hint(app: object) -> str:
    """What to say of a callable that makes an app instead of being one."""
    if not (inspect.isfunction(app) or inspect.isclass(app)):
        return ""
    try:
        needed = [
            parameter
            for parameter in inspect.signature(app).parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind
            not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
    except (TypeError, ValueError):
        return ""
    if len(needed) in (1, 3):
        return ""  # ASGI 2 takes the scope, ASGI 3 scope, receive and send
    kind = "class" if inspect.isclass(app) else "function"
    if needed:
        return f"is a {kind} that takes {len(needed)} arguments, not an ASGI app"
    return f"is a {kind} without arguments, not an ASGI app; if it makes the app, add --factory"


def serve_uvicorn(plan: Plan, listener: socket.socket) -> int:
    import uvicorn

    if plan.reload or plan.workers > 1:
        host, port = plan.host, _give_back(listener)
        uvicorn.run(_APP, host=host, port=port, workers=plan.workers, reload=plan.reload, access_log=False)
        return 0
    server = uvicorn.Server(uvicorn.Config(_APP, access_log=False))
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # it stopped in order before it passed the signal on
    return 0 if server.started else 1


def serve_granian(plan: Plan, listener: socket.socket) -> int:
    port = _give_back(listener)
    command = ["granian", "--interface", "asgi", "--host", plan.host, "--port", str(port)]
    return _become([*command, "--workers", str(plan.workers), *["--reload"] * plan.reload, _APP])


def serve_hypercorn(plan: Plan, listener: socket.socket) -> int:
    port = _give_back(listener)
    host = f"[{plan.host}]" if ":" in plan.host else plan.host
    command = ["hypercorn", "--bind", f"{host}:{port}", "--workers", str(plan.workers)]
    return _become([*command, *["--reload"] * plan.reload, _APP])


SERVERS: Mapping[str, Callable[[Plan, socket.socket], int]] = {
    "uvicorn": serve_uvicorn,
    "granian": serve_granian,
    "hypercorn": serve_hypercorn,
}


def _give_back(listener: socket.socket) -> int:
    """Free the port for a server that insists on opening it itself."""
    port: int = listener.getsockname()[1]
    listener.close()
    return port


def _become(command: list[str]) -> int:
    """Run ``python -m command`` in this process's place, so that signals reach the server itself."""
    here = os.getcwd()
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{here}{os.pathsep}{others}" if others else here
    line = [sys.executable, "-m", *command]
    if os.name != "nt":  # where exec would return to the shell at once
        os.execv(sys.executable, line)  # noqa: S606 - a server's own command line
    return subprocess.run(line).returncode  # noqa: S603 - the same


def main() -> None:
    """``python -m perfmw.cli.serving TARGET [--factory]``: is it an app? Exits as ``perfmw run`` would."""
    target, *flags = sys.argv[1:]
    try:
        check_target(target, factory="--factory" in flags, elsewhere=False)
    except (Refusal, Failure) as error:
        error.show()
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
