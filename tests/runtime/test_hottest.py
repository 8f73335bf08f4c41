"""Counting the keys read most, and keeping them over a restart."""

from __future__ import annotations

import stat
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.runtime.hottest import Hottest, read_file, write_file


@given(st.lists(st.integers(0, 30).map(str), max_size=300), st.integers(1, 20))
def test_whoever_is_more_than_a_share_is_never_missed(reads: list[str], most: int) -> None:
    hottest = Hottest(most)
    for key in reads:
        hottest.note(key)
    assert len(hottest) <= most
    counted = dict(hottest.top(most))
    for key, count in Counter(reads).items():
        if count > len(reads) / most:
            assert counted[key] >= count


def test_the_hottest_come_first_and_old_reads_fade() -> None:
    hottest = Hottest()
    for key, times in (("a", 3), ("b", 5), ("c", 1)):
        for _ in range(times):
            hottest.note(key)
    assert [key for key, _ in hottest.top(2)] == ["b", "a"]
    hottest.fade(0.1)
    hottest.note("c", 2.0)
    assert [key for key, _ in hottest.top(1)] == ["c"]
    for _ in range(10):
        hottest.fade(0.1)
    assert len(hottest) == 0


def test_the_file_is_read_as_written_and_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "hottest.json"
    write_file(path, [("GET http://a/ü", 2.5), ("GET http://a/", 1.0)])
    assert read_file(path) == [("GET http://a/ü", 2.5), ("GET http://a/", 1.0)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["hottest.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys": 3}', '{"keys": [["a"]]}'])
def test_a_damaged_file_is_no_keys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hottest.json"
    path.write_text(text)
    assert read_file(path) == []
    assert read_file(tmp_path / "absent.json") == []
