"""Child processes that serve an app for the length of a command, and never longer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

from perfmw.cli.wire import Origin

_START_TIMEOUT = 60.0


class ChildError(RuntimeError):
    """The child ended before it served; its own words went to stderr. ``code`` is its exit code."""

    def __init__(self, target: str, code: int) -> None:
        super().__init__(f"{target} did not start (exit code {code}); its output is above")
        self.code = code


class Child:
    """An app served by ``perfmw.cli.child`` on 127.0.0.1. Use as a context manager.

    :param target: ``module:attribute``.
    :param bare: serve the app itself, without perfmw.
    :param port: where to listen; 0 for a free port.
    :param env: added to this process's environment.
    :param without: variables of this process's environment that the child does not get.
    :param app_dir: where the child looks for modules first; default its working directory.
    :param cwd: the child's working directory; default this process's.
    :param log: a file for what the child says; default this process's stderr.
    :raises ChildError: it ended before it served. Raised by ``wait``.
    """

    def __init__(
        self,
        target: str,
        *,
        bare: bool = False,
        factory: bool = False,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        without: Collection[str] = (),
        app_dir: Path | None = None,
        cwd: Path | None = None,
        log: Path | None = None,
    ) -> None:
        self.target = target
        command = [sys.executable, "-m", "perfmw.cli.child", target, "--port", str(port)]
        command += ["--bare"] * bare + ["--factory"] * factory
        command += ["--app-dir", str(app_dir)] if app_dir else []
        kept = {name: value for name, value in os.environ.items() if name not in without}
        self._log = log.open("ab") if log else None
        # A session of its own: Ctrl-C reaches the parent alone, which then stops its children in order.
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**kept, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
        self._origin: Origin | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> Origin:
        """Block until the child accepts requests; the same answer when asked again."""
        if self._origin is None:
            stop = threading.Timer(_START_TIMEOUT, self._process.kill)
            stop.daemon = True  # a Ctrl-C within start() leaves it running: it must not hold the exit up
            try:
                stop.start()
                line = self._read_report()
            finally:
                stop.cancel()
            self._origin = Origin("127.0.0.1", int(json.loads(line)["port"]))
        return self._origin

    def _read_report(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildError(self.target, self._process.wait())
        return line

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def dismiss(self) -> None:
        """Ask the child to end, by closing its stdin, and do not wait for it."""
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                pipe.close()

    def stop(self) -> None:
        """End the child: ask first, insist after some seconds. Idempotent."""
        self.dismiss()
        try:
            self._process.wait(8)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
