"""The ways back, as somebody on call takes them: by command, by setting and by environment, over restarts."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perfmw.cli.group import cli
from perfmw.contracts import OptimizationOpportunity
from perfmw.optimization import Ledger
from tests.cli.conftest import serving

APP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
"""
OFF = {"PERFMW_OPTIMIZATIONS_ENABLED": "false"}


def change(name: str) -> OptimizationOpportunity:
    rule = {"rule_id": f"cache_route:/{name}", "path": f"/{name}", "ttl": 60.0}
    title = f"Cache /{name} for 60 s"
    return OptimizationOpportunity(
        f"cache_route:GET /{name}", "cache_route", f"GET /{name}", title, "cache_route", rule
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of which two optimizations are in force."""
    (tmp_path / "hello.py").write_text(APP)
    (tmp_path / "perfmw.toml").write_text('dashboard = "loopback"\nplugins = []\nstate_dir = "state"\n')
    ledger = Ledger(tmp_path / "state")
    for name in "ab":
        ledger.append("kept", change(name), who="test", why="it helps")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def site(folder: Path, env: dict[str, str] | None = None) -> Iterator[str]:
    with serving(folder, "hello:app", env=env) as served:
        yield served.url.rstrip("/")


def optimize(*arguments: str) -> Result:
    done = CliRunner().invoke(cli, ["optimize", *arguments])
    assert done.exit_code == 0, done.output
    return done


def kept(url: str) -> list[str]:
    """The pages that are answered from the cache when asked for twice."""

    def word(name: str) -> str:
        with urllib.request.urlopen(f"{url}/{name}") as answer:
            answer.read()
            return str(answer.headers["cache-status"])

    return [name for name in "ab" if (word(name), "; hit" in word(name))[1]]


def test_one_is_rolled_back_and_stays_so(folder: Path) -> None:
    with site(folder) as url:
        assert kept(url) == ["a", "b"], "what stood is applied again at start"
        [entry, _] = [one.id for one in Ledger(folder / "state").kept()]
        optimize("rollback", str(entry), "--url", url)
        assert kept(url) == ["b"]
    with site(folder) as url:
        assert kept(url) == ["b"]


def test_the_command_undoes_all_and_it_stays_so(folder: Path) -> None:
    with site(folder, {"PERFMW_AUTO_OPTIMIZATION": "true"}) as url:
        assert kept(url) == ["a", "b"]
        done = optimize("kill", "--yes", "--url", url, "--json")
        assert sorted(json.loads(done.stdout)["rolled_back"]) == ["Cache /a for 60 s", "Cache /b for 60 s"]
        assert kept(url) == []
        with urllib.request.urlopen(f"{url}/_perfmw/api/v1/optimization") as answer:
            assert json.load(answer)["automatic"] is False, "nor does it begin anew by itself"
    with site(folder) as url:
        assert kept(url) == []


def test_the_environment_undoes_all_and_it_stays_so(folder: Path) -> None:
    with site(folder, OFF) as url:
        assert kept(url) == []
    with site(folder) as url:
        assert kept(url) == [], "also once the variable is gone"
    assert [one.why for one in Ledger(folder / "state").entries()][-1] == "optimizations_enabled is false"


def test_without_a_server_the_ledger_is_changed_for_the_next_start(folder: Path) -> None:
    assert "Cache /a" in optimize("kill", "--yes").output
    with site(folder) as url:
        assert kept(url) == []
