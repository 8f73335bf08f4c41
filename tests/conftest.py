"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

import perfmw.runtime  # noqa: F401 - its import says where cached functions keep their values; once, not in a test

# a busy machine is no reason to fail: nothing here is a timed assertion
settings.register_profile("perfmw", deadline=None)
settings.load_profile("perfmw")


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
