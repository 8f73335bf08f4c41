"""Fixtures that every room's tests share."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import perfmw.runtime  # noqa: F401 - its import says where cached functions keep their values; once, not in a test

# a busy machine is no reason to fail: nothing here is a timed assertion
settings.register_profile("perfmw", deadline=None)
settings.load_profile("perfmw")

# a suite that a shell began in the background ignores Ctrl-C, and so would the commands that tests interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded traces and logs; tests that need it are skipped where there is none."""
    folder = os.environ.get("PERFMW_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PERFMW_DATA names no folder of recorded traces and logs")
    return Path(folder)


@pytest.fixture(autouse=True)
def _logging_of_its_own() -> Iterator[None]:
    """A framework or server that sets the root logger up does so for its own test."""
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    yield
    root.setLevel(level)
    for one in [*root.handlers]:
        if one not in handlers and "pytest" not in type(one).__module__:
            root.removeHandler(one)
