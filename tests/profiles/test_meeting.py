from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from perfmw.profiles import meeting


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def pretend(monkeypatch: pytest.MonkeyPatch, module: str | None) -> None:
    """To be a child of this process that runs a function of ``module``."""
    parent = SimpleNamespace(pid=os.getpid())
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent if module else None)
    child = SimpleNamespace(_target=SimpleNamespace(__module__=module))
    monkeypatch.setattr(multiprocessing, "current_process", lambda: child)


def test_state_dir_is_where_profiles_are_kept(tmp_path: Path) -> None:
    assert meeting.archive_path(str(tmp_path)) == tmp_path / "profiles.sqlite"


@pytest.mark.parametrize("module", [None, "my_tests", "uvicorn.main", "multiprocessing.pool"])
def test_a_process_alone_meets_nobody(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, module: str | None
) -> None:
    pretend(monkeypatch, module)
    assert meeting.archive_path(None) is None
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    "module", ["uvicorn.supervisors.multiprocess", "uvicorn._subprocess", "hypercorn.run"]
)
def test_workers_meet_in_a_place_of_their_own(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    pretend(monkeypatch, module)
    one, two = meeting.archive_path(None), meeting.archive_path(None)
    assert one is not None
    assert two is not None
    assert one.parent == two.parent
    assert one != two  # two apps in a process
    assert one.is_relative_to(temporary)
    assert one.parent.parent.stat().st_mode & 0o077 == 0


def test_a_folder_that_others_may_write_to_is_not_used(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "uvicorn._subprocess")
    path = meeting.archive_path(None)
    assert path is not None
    path.parent.parent.chmod(0o777)
    assert meeting.archive_path(None) is None


def test_what_ended_supervisors_left_is_removed(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "uvicorn._subprocess")
    path = meeting.archive_path(None)
    assert path is not None
    path.parent.mkdir()
    left = path.parent.parent / "workers-999999999-1"
    left.mkdir()
    (left / "0-profiles.sqlite").write_bytes(b"old")
    meeting.archive_path(None)
    assert not left.exists()
    assert path.parent.exists()
