from __future__ import annotations

import os
import subprocess
import sys

import pytest

from perfmw.resources.others import processor_time


def test_processor_time_grows_with_what_a_process_does() -> None:
    used = processor_time(os.getpid())
    before = used()
    while used() == before:
        sum(range(10_000))
    assert used() > before > 0


def test_a_process_that_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        used = processor_time(process.pid)
        assert used() >= 0
        process.communicate(b"\n", timeout=30)
    with pytest.raises(ProcessLookupError):
        used()
    with pytest.raises(ProcessLookupError):
        processor_time(process.pid)
