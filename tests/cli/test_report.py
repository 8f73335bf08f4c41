from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perfmw.cli.group import cli
from tests.cli.conftest import Served, serving
from tests.cli.test_top import APP


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(APP)
    (folder / "perfmw.toml").write_text("plugins = []\n")
    with serving(folder, "shop:app") as served:
        for _ in range(3):
            urllib.request.urlopen(f"{served.url}/items/1", timeout=10).close()
        yield served


def report(server: Served, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["report", "--url", f"{server.url}/_perfmw/", *arguments])


def test_the_form_is_that_of_the_file(server: Served, tmp_path: Path) -> None:
    for name in ("x.html", "x.md", "x.json"):
        result = report(server, "-o", str(tmp_path / name))
        assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "x.html").read_text().startswith("<!doctype html>")
    assert (
        "GET /items/\\{id}" in (tmp_path / "x.md").read_text()
        or "GET /items/{id}" in (tmp_path / "x.md").read_text()
    )
    assert json.loads((tmp_path / "x.json").read_text())["routes"][0]["name"] == "GET /items/{id}"


def test_markdown_on_stdout(server: Served) -> None:
    result = report(server)
    assert result.output.startswith("# Performance report, ")
    assert json.loads(report(server, "--format", "json").output)["product"].startswith("perfmw ")


def test_wrong_use(server: Served, tmp_path: Path) -> None:
    unknown = report(server, "-o", str(tmp_path / "x.pdf"))
    assert (unknown.exit_code, "neither .html, .md nor .json" in unknown.output) == (2, True)
    nowhere = report(server, "-o", str(tmp_path / "none" / "x.md"))
    assert (nowhere.exit_code, "cannot be written" in nowhere.output) == (2, True)


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("ftp://x", 2, "is no URL of a dashboard"),
        ("http://127.0.0.1:1/_perfmw", 1, "does not answer"),
    ],
)
def test_nobody_there(url: str, code: int, words: str) -> None:
    result = CliRunner().invoke(cli, ["report", "--url", url])
    assert (result.exit_code, words in result.output) == (code, True)


def test_a_server_that_is_no_dashboard(server: Served) -> None:
    result = CliRunner().invoke(cli, ["report", "--url", f"{server.url}/nothing"])
    assert result.exit_code == 1
    assert "is no dashboard of perfmw" in result.output
