"""Serve one app in this process until stdin ends: what the commands start as child processes.

    python -m perfmw.cli.child TARGET [--bare] [--factory] [--app-dir DIR] [--port N]

``{"port": N}`` is written to stdout once requests are accepted, then nothing more: whatever the app prints
goes to stderr. The parent holds the other end of stdin, so this process ends with it however it dies: by
close, crash or kill. Nothing platform-specific is needed for that.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
import time
from functools import partial

import uvicorn

from perfmw.asgi.types import ASGIApp
from perfmw.cli.listening import listen
from perfmw.cli.loading import load
from perfmw.cli.output import Failure, Refusal

_GRACE = 5.0


def main() -> int:
    report = _take_stdout()
    options = _options()
    if options.app_dir:
        sys.path.insert(0, options.app_dir)
    try:
        app = load(options.target, factory=options.factory, bare=options.bare)
    except (Refusal, Failure) as error:
        error.show()
        return error.exit_code
    return _serve(app, options.port, report)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="perfmw.cli.child")
    parser.add_argument("target")
    parser.add_argument("--bare", action="store_true", help="serve the app itself, not wrapped")
    parser.add_argument("--factory", action="store_true")
    parser.add_argument("--app-dir", help="looked for modules first")
    parser.add_argument("--port", type=int, default=0)
    return parser.parse_args()


def _take_stdout() -> int:
    """Keep stdout for the one report and send everything else that is printed to stderr."""
    report = os.dup(1)
    os.dup2(2, 1)
    return report


def _serve(app: ASGIApp, port: int, report: int) -> int:
    listener = listen("127.0.0.1", port)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, timeout_keep_alive=60
    )
    server = uvicorn.Server(config)
    for watch in (_stop_with_parent, partial(_report_start, report=report, port=listener.getsockname()[1])):
        threading.Thread(target=watch, args=(server,), daemon=True).start()
    server.run(sockets=[listener])
    return 0 if server.started else 1


def _report_start(server: uvicorn.Server, *, report: int, port: int) -> None:
    while not server.started:
        time.sleep(0.005)
    with contextlib.suppress(BrokenPipeError):  # the parent was interrupted before we served
        os.write(report, json.dumps({"port": port}).encode() + b"\n")
    os.close(report)


def _stop_with_parent(server: uvicorn.Server) -> None:
    while os.read(0, 4096):
        pass
    server.should_exit = True
    # An app that does not stop must not outlive its parent.
    time.sleep(_GRACE)
    os._exit(3)


if __name__ == "__main__":
    raise SystemExit(main())
