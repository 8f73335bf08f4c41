"""``perfmw simulate`` on small traces."""

from __future__ import annotations

import bz2
import codecs
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perfmw.cli.group import cli
from tests.cli.conftest import COMMAND, clean_env


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["simulate", *arguments])


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "trace.txt"
    path.write_text("\n".join(["a", "b", "a", "c", "", "a", "b"]) + "\n")
    return str(path)


def test_sizes_that_nobody_names_suit_the_trace(trace: str, tmp_path: Path) -> None:
    (entries, *_) = json.loads(simulate(trace, "--json").stdout)
    assert (entries["by"], entries["size"]) == ("entries", 1_000)
    sized = tmp_path / "sized.txt"
    sized.write_text("".join(f"key{number % 20} 5000\n" for number in range(100)))
    rows = json.loads(simulate(str(sized), "--policy", "lru", "--json").stdout)
    assert [(row["by"], row["size"]) for row in rows] == [("bytes", part) for part in (5_000, 10_000, 50_000)]


def test_every_policy_and_size_gives_a_row(trace: str) -> None:
    result = simulate(trace, "--policy", "lru,fifo", "--size", "2,3", "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [(row["policy"], row["size"], row["hits"], row["requests"]) for row in rows] == [
        ("lru", 2, 2, 6),
        ("lru", 3, 3, 6),
        ("fifo", 2, 1, 6),
        ("fifo", 3, 3, 6),
    ]
    assert rows[1]["hit_ratio"] == 0.5
    assert {row["by"] for row in rows} == {"entries"}


def test_a_trace_with_sizes_counts_bytes(tmp_path: Path) -> None:
    path = tmp_path / "trace.gz"
    path.write_bytes(gzip.compress(b"a 100\nb 900\na 100\nb 900\n"))
    (row,) = json.loads(simulate(str(path), "--policy", "lru", "--size", "950", "--json").stdout)
    assert (row["by"], row["hits"], row["byte_hit_ratio"]) == ("bytes", 0, 0.0)
    arguments = (str(path), "--policy", "lru", "--size", "2", "--by", "entries", "--json")
    (row,) = json.loads(simulate(*arguments).stdout)
    assert (row["hits"], row["byte_hit_ratio"]) == (2, 0.5)


def test_a_table_for_people(trace: str) -> None:
    result = simulate(trace, "--policy", "lru", "--size", "3")
    assert "50.00%" in result.stdout
    assert "hit ratio" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "lru,nosuch"], "'nosuch' is none; there are adaptive"),
        (["--policy", ","], "--policy"),
        (["--size", "0"], "--size"),
        (["--size", "many"], "--size"),
    ],
)
def test_bad_input_is_explained(trace: str, arguments: list[str], words: str) -> None:
    result = simulate(trace, *arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert "done" not in result.output, "nothing is run before all is understood"


def test_a_line_that_is_no_access_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("a 1\nb two\n")
    result = simulate(str(path))
    assert result.exit_code == 2
    assert "line 2" in result.output


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a\n".encode("utf-16"), "no text in UTF-8"),
        (b"a 1 nan inf\n", "finite seconds"),
        (b"a 1 -5 1700000000\n", "finite seconds"),
        (b"\x28\xb5\x2f\xfd\0", "compressed by zstd: unpack it first"),
        (b"\xfd7zXZ\0", "compressed by xz: unpack it first"),
        (gzip.compress(b"a\n" * 9_000, mtime=0)[:30], "cannot be read"),
        (bz2.compress(b"a\n" * 9_000)[:40], "cannot be read"),
    ],
)
def test_what_is_no_trace_says_why(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "trace.txt"
    path.write_bytes(content)
    result = simulate(str(path))
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, bytes])
def test_traces_are_unpacked_whatever_their_names(tmp_path: Path, packed: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "trace.gz"
    path.write_bytes(packed(codecs.BOM_UTF8 + b"a\r\na\r\n"))
    (row,) = json.loads(simulate(str(path), "--policy", "lru", "--json").stdout)
    assert (row["requests"], row["hits"]) == (2, 1)


def test_a_read_without_a_size_has_that_of_the_key_before(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text("a 100\nb 100\na\nb\nb 1\nc\n")
    (row,) = json.loads(simulate(str(path), "--policy", "lru", "--size", "150", "--json").stdout)
    assert (row["requests"], row["hits"]) == (6, 1)


def test_an_empty_trace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("\n")
    assert "empty" in simulate(str(path)).output


@pytest.mark.skipif(sys.platform == "win32", reason="has no such terminals")
def test_a_terminal_sees_a_bar_and_the_data_stay_clean(tmp_path: Path) -> None:
    import pty

    (tmp_path / "keys.txt").write_text("a\nb\na\n" * 1_000)
    ours, theirs = pty.openpty()
    command = [*COMMAND, "simulate", "keys.txt", "--policy", "lru", "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=clean_env(TERM="xterm"), stdout=subprocess.PIPE, stderr=theirs
    ) as done:
        assert done.stdout is not None
        told = json.loads(done.stdout.read())
    os.close(theirs)
    said = os.read(ours, 65_536).decode()
    os.close(ours)
    assert told[0]["requests"] == 3_000
    assert "simulating" in said
