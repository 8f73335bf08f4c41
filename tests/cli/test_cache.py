"""``perfmw cache`` on a disk layer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perfmw import Runtime, Settings
from perfmw.cli.group import cli


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
    data = json.loads(run("get", "GET https://host/a").stdout)
    assert (data["value"], data["tags"]) == ("{'n': 1}", ["a"])
    assert run("get", "absent").exit_code == 1


def test_stats_counts(here: Path) -> None:
    (row,) = json.loads(run("stats", "--json").stdout)
    assert (row["layer"], row["entries"], row["max_bytes"]) == ("disk", 3, 1024**3)
    assert row["bytes"] > 4096
    assert "disk" in run("stats").stdout


def test_purge_by_key_prefix_and_tag(here: Path) -> None:
    assert run("purge", "--prefix", "GET ", "--dry-run").stdout == "2\n"
    assert len(keys()) == 3
    assert run("purge", "--key", "GET https://host/a").stdout == "1\n"
    assert run("purge", "--prefix", "fn:").stdout == "1\n"
    assert run("purge", "--tag", "b").exit_code == 0
    assert run("get", "GET https://host/b").exit_code == 1


def test_purge_asks_what(here: Path) -> None:
    result = run("purge")
    assert result.exit_code == 2
    assert "--key" in result.output


def test_memory_alone_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("stats")
    assert result.exit_code == 2
    assert "outlives" in result.output
