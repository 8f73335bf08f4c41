from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from perfmw.contracts import Measurement, OptimizationStepResult
from perfmw.optimization import Ledger
from tests.optimization.world import make_opportunity

MEASURED = OptimizationStepResult(
    "a",
    True,
    improvement=0.5,
    interval=(0.4, 0.6),
    before=Measurement(requests=10, mean=0.2),
    after=Measurement(requests=12, mean=0.1, hit_rate=0.5),
)


def note(ledger: Ledger, kind: Any = "proposed", name: str = "a", **more: Any) -> int:
    return ledger.append(kind, make_opportunity(name), who="ann", why="because", **more).id


def test_an_entry_tells_who_why_and_how_much(tmp_path: Path) -> None:
    written = Ledger(tmp_path, clock=lambda: 12.5)
    note(written, "kept", run="r1", result=MEASURED)
    (entry,) = Ledger(tmp_path).entries()
    assert entry == written.entries()[0]
    assert (entry.id, entry.at, entry.kind, entry.run) == (1, 12.5, "kept", "r1")
    assert (entry.who, entry.why) == ("ann", "because")
    assert (entry.improvement, entry.interval) == (0.5, (0.4, 0.6))
    assert entry.before == MEASURED.before
    assert entry.after == MEASURED.after
    assert entry.opportunity == make_opportunity("a")


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    note(Ledger(tmp_path / "new"))
    assert stat.S_IMODE((tmp_path / "new" / "ledger.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("kinds", "stands"),
    [
        (["proposed", "applied", "measured", "kept"], True),
        (["kept", "measured"], True),
        (["kept", "reverted"], False),
        (["kept", "applied"], False),
        (["kept", "lapsed"], False),
        (["proposed", "applied"], False),
        (["applied", "rolled_back"], False),
    ],
)
def test_what_stands_is_what_was_last_said(tmp_path: Path, kinds: list[str], stands: bool) -> None:
    ledger = Ledger(tmp_path)
    for kind in kinds:
        note(ledger, kind)
    for one in (ledger, Ledger(tmp_path)):
        assert bool(one.kept()) is stands


@pytest.mark.parametrize(
    "damage",
    [
        b"not json\n",
        b"[]\n",
        b"null\n",
        b'{"id": 5}\n',
        b'{"id":"x","at":1,"kind":"kept","run":"","who":"","why":"","opportunity":{}}\n',
        b'{"id":9,"at":1,"kind":"kept","run":"","who":"","why":"","opportunity":'
        b'{"id":"a","type":"t","target":"t","title":"t","optimizer":"o","parameters":[1]}}\n',
        b"\xff\xfe\n",
        b"\0" * 4096 + b"\n",
    ],
)
def test_a_bad_line_is_counted_and_the_rest_kept(tmp_path: Path, damage: bytes) -> None:
    note(Ledger(tmp_path))
    with (tmp_path / "ledger.jsonl").open("ab") as stream:
        stream.write(damage)
    ledger = Ledger(tmp_path)
    note(ledger, "kept")
    again = Ledger(tmp_path)
    assert [entry.kind for entry in again.entries()] == ["proposed", "kept"]
    assert again.bad_lines == 1


@pytest.mark.parametrize("cut", [2, 10, 200])
def test_a_torn_last_line_damages_only_itself(tmp_path: Path, cut: int) -> None:
    ledger = Ledger(tmp_path)
    note(ledger)
    note(ledger, "kept")
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    after = Ledger(tmp_path)
    assert [entry.kind for entry in after.entries()] == ["proposed"]
    note(after, "measured")
    assert after.bad_lines == 1
    assert [entry.kind for entry in Ledger(tmp_path).entries()] == ["proposed", "measured"]


def test_a_line_that_lacks_only_its_end_is_whole(tmp_path: Path) -> None:
    note(Ledger(tmp_path), "kept")
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    ledger = Ledger(tmp_path)
    assert len(ledger.kept()) == 1
    assert note(ledger) == 2
    assert len(Ledger(tmp_path).entries()) == 2
    assert ledger.bad_lines == 0


def test_rotation_bounds_the_files_and_forgets_nothing_that_stands(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, max_bytes=5_000)
    kept = note(ledger, "kept", "first")
    for _ in range(100):
        note(ledger, "measured", "other")
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) < 7_000
    later = Ledger(tmp_path, max_bytes=5_000)
    assert [entry.id for entry in later.kept()] == [kept]
    assert later.entry(kept).opportunity.id == "first"
    assert note(later) == 102, "numbers go on"


def test_a_crash_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    note(Ledger(tmp_path), "kept")
    (tmp_path / "ledger.jsonl").rename(tmp_path / "ledger.1.jsonl")
    later = Ledger(tmp_path)
    assert len(later.kept()) == 1
    assert note(later) == 2


def test_memory_is_bounded(tmp_path: Path) -> None:
    ledger = Ledger(max_entries=10)
    first = note(ledger, "kept", "first")
    for _ in range(50):
        note(ledger)
    assert len(ledger.entries()) == 10
    assert ledger.entry(first).id == first, "what stands can be looked up for as long as it does"
    with pytest.raises(KeyError, match="no entry 2"):
        ledger.entry(2)


def test_a_disk_that_refuses_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    ledger = Ledger(tmp_path / "file")
    assert note(ledger, "kept") == 1
    assert ledger.write_errors == 2
    assert len(ledger.kept()) == 1
    assert "ledger could not be" in caplog.text


def test_fields_of_a_later_release_are_ignored(tmp_path: Path) -> None:
    note(Ledger(tmp_path), "kept")
    path = tmp_path / "ledger.jsonl"
    raw = json.loads(path.read_text())
    raw["approved_by"] = "bob"
    raw["opportunity"]["colour"] = "green"
    path.write_text(json.dumps(raw) + "\n")
    assert len(Ledger(tmp_path).kept()) == 1


def test_two_ledgers_on_one_directory_see_each_other(tmp_path: Path) -> None:
    one, two = Ledger(tmp_path, max_bytes=3_000), Ledger(tmp_path, max_bytes=3_000)
    numbers = [note(ledger, "measured") for _ in range(20) for ledger in (one, two)]
    assert numbers == list(range(1, 41))
    assert one.bad_lines == two.bad_lines == 0


def _write_many(folder: str) -> None:
    ledger = Ledger(folder, max_bytes=20_000)
    for _ in range(50):
        note(ledger, "measured", f"p{os.getpid()}")
    note(ledger, "kept", f"p{os.getpid()}")


def test_processes_share_a_directory(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(str(tmp_path),)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    ledger = Ledger(tmp_path)
    assert ledger.bad_lines == 0
    assert {entry.opportunity.id for entry in ledger.kept()} == {f"p{writer.pid}" for writer in writers}
    assert note(ledger) == 103
