"""Where the workers of one host meet, if nobody says: found through the process that started them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Final

FILE: Final = "profiles.sqlite"
WORKERS: Final = ("uvicorn._subprocess", "uvicorn.supervisors", "hypercorn.", "granian.")
"""Modules of what supervisors have their workers run."""
_seats = itertools.count()


def archive_path(state_dir: str | None) -> Path | None:
    """The archive's file: in ``state_dir``, else where sibling workers look too; None for a process alone.

    Workers are told by their parent: uvicorn's, hypercorn's and granian's are started through
    ``multiprocessing``, gunicorn's are forked. The first runtime of one worker meets the first of the next.
    """
    if state_dir is not None:
        return Path(state_dir) / FILE
    parent = _supervisor()
    if parent is None:
        return None
    folder = Path(tempfile.gettempdir()) / f"perfmw-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    if not _own(folder):
        return None
    tidy(folder)
    return folder / f"workers-{parent}" / f"{next(_seats)}-{FILE}"


def _supervisor() -> str | None:
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None and _is_worker():
        return f"{parent.pid}-{_started(parent.pid)}"
    if "gunicorn.arbiter" in sys.modules and os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
        return f"{os.getppid()}-{_started(os.getppid())}"
    return None


def _is_worker() -> bool:
    """Whether a server's supervisor started this process; others may run different apps side by side."""
    target = getattr(multiprocessing.current_process(), "_target", None)
    return str(getattr(target, "__module__", "")).startswith(WORKERS)


def _started(pid: int) -> str:
    """Tells a process from a later one of the same number, where the system says when it began."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "0"


def _own(folder: Path) -> bool:
    """Make the folder; whether it is a directory of ours that nobody else may write to."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        return False
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)


def tidy(folder: Path) -> None:
    """Remove what workers whose supervisor is gone have left there."""
    for left in folder.glob("workers-*"):
        pid, _, started = left.name.removeprefix("workers-").partition("-")
        if not pid.isdigit() or _started(int(pid)) == started:
            continue
        try:
            for file in left.iterdir():
                file.unlink(missing_ok=True)
            left.rmdir()
        except OSError:
            continue  # a sibling tidies too, or the files are in use
