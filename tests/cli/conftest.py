"""Running the command as users do: as a process, in a directory of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-m", "perfmw.cli"]


def clean_env(**more: str) -> dict[str, str]:
    """The environment without perfmw's variables, so that no test depends on the caller's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PERFMW_")} | more


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run ``perfmw ARGUMENTS`` in ``tmp_path`` to its end."""

    def start(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=clean_env(**(env or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )

    return start


@dataclass
class Served:
    """A running ``perfmw run``: the URL it announced, what it said until it was ready, and its process."""

    url: str
    said: str
    process: subprocess.Popen[str]


@contextmanager
def serving(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> Iterator[Served]:
    """``perfmw run ARGUMENTS --port 0`` in ``folder`` until the block ends."""
    command = [*COMMAND, "run", *arguments, "--port", "0"]
    process = subprocess.Popen(
        command, cwd=folder, env=clean_env(**(env or {})), stderr=subprocess.PIPE, text=True
    )
    try:
        said = _wait_for_start(process)
        yield Served(next(word for word in said.split() if word.startswith("http://")), said, process)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _wait_for_start(process: subprocess.Popen[str]) -> str:
    """What the command said until it was ready."""
    said = ""
    timer = threading.Timer(60, process.kill)
    timer.start()
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if "startup complete" in line:
                return said
    finally:
        timer.cancel()
    raise AssertionError(f"perfmw run ended: {said}")
