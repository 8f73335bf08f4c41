from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perfmw.cli.api import Api
from perfmw.cli.group import cli
from perfmw.contracts import OptimizationOpportunity
from perfmw.optimization import Ledger
from tests.cli.conftest import serving

APP = """
import asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def item(request):
    await asyncio.sleep(0.03)
    return PlainTextResponse("item " + request.path_params["id"])


app = Starlette(routes=[Route("/items/{id}", item)])
"""
SETTINGS = 'dashboard = "loopback"\nplugins = []\nstate_dir = "state"\n'


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["optimize", *arguments])


def kept(folder: Path, *names: str) -> Ledger:
    ledger = Ledger(folder / "state")
    for name in names:
        change = OptimizationOpportunity(name, "cache_route", "GET /x", f"Cache {name}", "cache_route")
        ledger.append("kept", change, who="test", why="it helps")
    return ledger


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "perfmw.toml").write_text('state_dir = "state"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(APP)
    (folder / "perfmw.toml").write_text(SETTINGS)
    with serving(folder, "shop:app") as served:
        yield served.url.rstrip("/")


def test_the_ledger_on_disk_is_listed_and_undone(folder: Path) -> None:
    kept(folder, "a", "b", "c")
    listed = run("list")
    assert listed.exit_code == 0, listed.output
    assert "Cache a" in listed.stdout
    rows = json.loads(run("list", "--json", "--limit", "2").stdout)["ledger"]
    assert [(row["id"], row["standing"]) for row in rows] == [(3, True), (2, True)]
    assert "entry 2 is rolled back" in run("rollback", "2").stdout
    assert [entry.opportunity.id for entry in Ledger(folder / "state").kept()] == ["a", "c"]
    assert run("kill", "--yes").stdout == "Cache c\nCache a\n"
    assert Ledger(folder / "state").kept() == []
    assert json.loads(run("kill", "--yes", "--json").stdout) == {"rolled_back": []}


def test_what_waits_can_be_rejected_on_disk(folder: Path) -> None:
    ledger = kept(folder)
    change = OptimizationOpportunity("a", "cache_route", "GET /x", "Cache a", "cache_route")
    ledger.append("waiting", change, who="auto", why="waits for approval")
    assert "1  Cache a" in run("list").stdout
    assert run("reject", "1").exit_code == 0
    assert Ledger(folder / "state").rejected() == {"a"}
    assert "does not wait" in run("reject", "1").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["rollback", "7"], 1, "no entry 7"),
        (["reject", "7"], 1, "no entry 7"),
        (["rollback", "0"], 2, "x>=1"),
        (["run"], 2, "--url"),
        (["approve", "1"], 2, "--url"),
        (["run", "--level", "reckless"], 2, "reckless"),
    ],
)
def test_what_cannot_be_done_is_told(folder: Path, arguments: list[str], code: int, said: str) -> None:
    done = run(*arguments)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr


def test_without_a_state_dir_there_is_no_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "set state_dir" in run("list").stderr


def test_a_running_server(site: str, folder: Path) -> None:
    server = f"{site}/_perfmw"
    stopped = threading.Event()

    def visit() -> None:
        while not stopped.is_set():
            for number in range(5):
                with urllib.request.urlopen(f"{site}/items/{number}") as answer:
                    answer.read()

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        begun = run(
            "run", "--url", server, "--blocks", "6", "--block-seconds", "0.2", "--steps", "1", "--json"
        )
    finally:
        stopped.set()
        visitor.join()
    assert begun.exit_code == 0, begun.output
    assert json.loads(begun.stdout)["status"] == "idle"
    data = json.loads(run("list", "--url", server, "--json").stdout)
    assert set(data) == {"opportunities", "waiting", "recommendations", "ledger"}
    assert run("list", "--url", server).exit_code == 0
    assert "no entry" in run("approve", "999", "--url", server).stderr
    assert "no entry" in run("rollback", "999", "--url", server).stderr
    assert json.loads(run("kill", "--yes", "--url", server, "--json").stdout)["rolled_back"] == []


def test_a_run_that_is_interrupted_is_ended_there(
    site: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, asked = f"{site}/_perfmw", []

    def interrupted(api: Api, say: object) -> dict[str, object]:
        raise KeyboardInterrupt

    def post(api: Api, path: str, body: dict[str, object]) -> object:
        asked.append(path)
        return sent(api, path, body)

    sent = Api.post
    monkeypatch.setattr(Api, "post", post)
    monkeypatch.setattr("perfmw.cli.optimize._wait", interrupted)
    ended = run("run", "--url", server, "--blocks", "9", "--block-seconds", "9")
    assert asked == ["optimization/start", "optimization/cancel"]
    assert (ended.exit_code != 0, "what was on trial is undone" in ended.stderr) == (True, True)
