"""``perfmw cache`` on a disk layer."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perfmw import Runtime, Settings
from perfmw.cli.group import cli
from perfmw.cli.output import Failure


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["cache", *arguments])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "perfmw.toml").write_text('layers = ["memory", "disk"]\nplugins = []\n')

    async def fill() -> None:
        cache = Runtime(Settings()).cache
        await cache.put("GET https://host/a", {"n": 1}, ttl=600, tags=["a"])
        await cache.put("GET https://host/b", 2, ttl=600, tags=["b"])
        await cache.put("fn:load:1", 3, ttl=600)
        await cache.close()

    asyncio.run(fill())
    return tmp_path


def keys() -> list[str]:
    return run("ls").stdout.split("\n")[:-1]


def test_ls_lists_keys(here: Path) -> None:
    assert keys() == ["GET https://host/a", "GET https://host/b", "fn:load:1"]
    assert run("ls", "--prefix", "fn:").stdout == "fn:load:1\n"


def test_get_shows_an_entry(here: Path) -> None:
    data = json.loads(run("get", "https://host/a", "--json").stdout)
    assert (data["key"], data["tags"], data["kind"]) == ("GET https://host/a", ["a"], "dict")
    assert "value" not in data
    assert "{'n': 1}" in run("get", "GET https://host/a", "--value").stdout
    absent = run("get", "absent")
    assert (absent.exit_code, absent.stdout) == (1, "")
    assert "nothing is kept" in absent.stderr


def test_stats_counts(here: Path) -> None:
    (row,) = json.loads(run("stats", "--json").stdout)
    assert (row["name"], row["entries"], row["max_bytes"]) == ("disk", 3, 1024**3)
    assert row["bytes"] > 4096
    assert "disk" in run("stats").stdout


def test_purge_by_key_prefix_and_tag(here: Path) -> None:
    counted = run("purge", "--prefix", "https://host/", "--dry-run")
    assert (counted.stdout, counted.stderr) == ("2\n", "0 in memory, 2 in disk; nothing was touched\n")
    assert len(keys()) == 3
    assert run("purge", "--key", "GET https://host/a", "--yes").stdout == "1\n"
    purged = run("purge", "--prefix", "fn:", "--yes", "--json")
    assert set(json.loads(purged.stdout)) == {"removed", "layers", "soft", "dry_run"}
    assert keys() == ["GET https://host/b"]
    tagged = run("purge", "--tag", "b", "--yes")
    assert (tagged.exit_code, "only --dry-run counts" in tagged.stderr) == (0, True)
    assert run("get", "GET https://host/b").exit_code == 1
    assert keys() == []


def test_purge_asks_first_and_not_at_all_without_a_terminal(here: Path) -> None:
    refused = run("purge", "--prefix", "GET ")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "2 in disk" in refused.stderr
    assert "--yes" in refused.stderr
    assert len(keys()) == 3


def test_purge_asks_what(here: Path) -> None:
    result = run("purge")
    assert result.exit_code == 2
    assert "--key" in result.output


def test_memory_alone_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("stats")
    assert result.exit_code == 2
    assert "outlives" in result.output


@pytest.mark.parametrize("answer", ["y", "n"])
def test_purge_does_what_the_answer_says(here: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    import perfmw.cli.cache as command

    asked: list[str] = []

    def confirm(question: str, err: bool) -> bool:
        asked.append(question)
        return answer == "y"

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(command.click, "confirm", confirm)
    refused = pytest.raises(Failure, match="nothing was done")
    with refused if answer == "n" else nullcontext():
        command.purge.main(["--key", "fn:load:1"], standalone_mode=False)
    assert asked == ["Remove these entries: 0 in memory, 1 in disk?"]
    assert ("fn:load:1" in keys()) == (answer == "n")


class Terminal:
    def isatty(self) -> bool:
        return True


def test_text_and_damaged_settings(here: Path) -> None:
    assert run("stats").stdout.split()[:5] == ["layer", "kind", "entries", "size", "bound"]
    (here / "perfmw.toml").write_text('layers = ["memory", "nosuch"]\n')
    wrong = run("stats")
    assert (wrong.exit_code, "nosuch" in wrong.stderr) == (2, True)


def test_a_layer_that_cannot_be_reached_is_no_empty_one(here: Path) -> None:
    (here / "perfmw.toml").write_text('layers = ["disk"]\ndisk_path = "perfmw.toml/file"\nplugins = []\n')
    for command in (["ls"], ["purge", "--tag", "a", "--yes"], ["stats"]):
        told = run(*command)
        assert told.exit_code == 1, command
        assert "layer disk: " in told.stderr


def test_a_slow_disk_is_waited_for(here: Path) -> None:
    (here / "perfmw.toml").write_text('layers = ["disk"]\nlayer_deadline = "1ms"\nplugins = []\n')
    assert len(keys()) == 3
