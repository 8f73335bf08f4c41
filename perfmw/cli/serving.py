"""The servers that ``perfmw run`` can start, each given ``perfmw.asgi:app`` and a port known to be free."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from perfmw.cli.listening import PortError, listen
from perfmw.cli.output import Refusal

ENV_RECORDING = "PERFMW_RECORD_FILE"
_PACKAGES = {"uvicorn": "uvicorn[standard]", "httpx": "httpx", "granian": "granian", "hypercorn": "hypercorn"}


def _app() -> str:
    """What the server imports: the wrapped app, recorded where that was asked for."""
    return "perfmw.cli.recording:app" if os.environ.get(ENV_RECORDING) else "perfmw.asgi:app"


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


def check_elsewhere(target: str, *, factory: bool) -> None:
    """Try the target in a process of its own, so that the app is not made once more in this one.

    Ends the command with that process's exit code if it cannot be served: workers would only die in a loop.
    """
    command = [sys.executable, "-m", "perfmw.cli.loading", target, *["--factory"] * factory]
    if code := subprocess.run(command, stdin=subprocess.DEVNULL).returncode:  # noqa: S603 - our own module
        sys.exit(code)


def serve_uvicorn(plan: Plan, listener: socket.socket) -> int:
    import uvicorn

    if plan.reload or plan.workers > 1:
        host, port = plan.host, _give_back(listener)
        uvicorn.run(_app(), host=host, port=port, workers=plan.workers, reload=plan.reload, access_log=False)
        return 0
    server = uvicorn.Server(uvicorn.Config(_app(), access_log=False))
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # it stopped in order before it passed the signal on
    return 0 if server.started else 1


def serve_granian(plan: Plan, listener: socket.socket) -> int:
    port = _give_back(listener)
    command = ["granian", "--interface", "asgi", "--host", plan.host, "--port", str(port)]
    return _become([*command, "--workers", str(plan.workers), *["--reload"] * plan.reload, _app()])


def serve_hypercorn(plan: Plan, listener: socket.socket) -> int:
    port = _give_back(listener)
    host = f"[{plan.host}]" if ":" in plan.host else plan.host
    command = ["hypercorn", "--bind", f"{host}:{port}", "--workers", str(plan.workers)]
    return _become([*command, *["--reload"] * plan.reload, _app()])


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
