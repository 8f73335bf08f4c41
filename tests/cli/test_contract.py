"""What holds for every command: JSON, exit codes, a running server by --url and --token, being asked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from perfmw.cli.group import built_in, cli
from tests.cli.conftest import COMMAND, Run, clean_env, serving

APP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def page(request):
    return PlainTextResponse("page", headers={"cache-control": "max-age=60"})


app = Starlette(routes=[Route("/", page), Route("/kept", page)])
"""
LOG = '127.0.0.1 - - [10/Oct/2025:13:55:36 +0000] "GET / HTTP/1.1" 200 4 "-" "-"\n' * 3


Leaves = Iterator[tuple[str, click.Command]]


def leaves() -> Leaves:
    root = click.Context(cli, info_name="perfmw")

    def below(
        name: str, command: click.Command, parent: click.Context
    ) -> Iterator[tuple[str, click.Command]]:
        context = click.Context(command, info_name=name, parent=parent)
        if not isinstance(command, click.Group):
            yield name, command
            return
        for one in command.list_commands(context):
            found = command.get_command(context, one)
            assert found is not None
            yield from below(f"{name} {one}", found, context)

    for name in built_in():
        command = cli.get_command(root, name)
        assert command is not None
        yield from below(name, command, root)


LEAVES = dict(leaves())
HERE = {
    "completion": "completion bash",
    "config show": "config show --origin",
    "doctor": "doctor shop:app",
    "explain": "explain {site}/",
    "export grafana": "export grafana",
    "init": "init -o made.toml",
    "plugins list": "plugins list",
    "replay": "replay access.log --target shop:app --speed 1000",
    "simulate": "simulate keys.trace --policy lru --size 2",
}
"""Lines for commands that work here."""
THERE = {
    "alerts annotate": "alerts annotate deployed",
    "alerts annotations": "alerts annotations",
    "alerts channels": "alerts channels",
    "alerts list": "alerts list",
    "alerts maintenance": "alerts maintenance --for 1m",
    "alerts silence": "alerts silence GET* --for 1m",
    "alerts silences": "alerts silences",
    "cache ls": "cache ls",
    "cache purge": "cache purge --prefix {site}/kept --yes",
    "cache stats": "cache stats",
    "export json": "export json",
    "export prometheus": "export prometheus",
    "optimize kill": "optimize kill --yes",
    "optimize list": "optimize list",
    "profiles create": "profiles create checkout --type workflow --latency 200ms",
    "profiles export": "profiles export",
    "profiles list": "profiles list",
    "report": "report",
    "top": "top --once",
}
"""Lines for commands that work on a running perfmw."""
REFUSED = {
    "alerts resolve": "alerts resolve nothing",
    "alerts show": "alerts show nothing",
    "alerts unsilence": "alerts unsilence nothing",
    "cache get": "cache get nothing",
    "optimize approve": "optimize approve 99",
    "optimize reject": "optimize reject 99",
    "optimize rollback": "optimize rollback 99",
    "profiles baseline": "profiles baseline nothing",
    "profiles compare": "profiles compare nothing",
    "profiles delete": "profiles delete nothing --yes",
    "profiles import": "profiles import empty.json",
    "profiles show": "profiles show nothing",
    "profiles update": "profiles update nothing --schedule weekly",
}
"""Those that need something that is there: they say that it is not."""
SERVERS = {"proxy": "proxy {site}", "record": "record shop:app", "run": "run shop:app"}
ELSEWHERE = {"bench", "cache warm", "demo", "export profiles", "optimize rehearse", "optimize run"}
"""Those that take their time, or need more to work on: their own tests run them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(APP)
    (folder / "access.log").write_text(LOG)
    (folder / "empty.json").write_text("{}")
    (folder / "keys.trace").write_text("a\nb\na\nc\na\n")
    (folder / "perfmw.toml").write_text("plugins = []\n")
    return folder


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    with serving(folder, "shop:app") as served:
        yield served.url


def perfmw(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *line.split()],
        cwd=folder,
        env=clean_env(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_no_command_is_left_out() -> None:
    tables = [*HERE, *THERE, *REFUSED, *SERVERS, *ELSEWHERE]
    assert sorted(tables) == sorted(LEAVES)


@pytest.mark.parametrize("name", LEAVES)
def test_its_options_are_those_that_every_command_has(name: str) -> None:
    options = {one for parameter in LEAVES[name].params for one in parameter.opts}
    assert "--json" in options
    assert ("--url" in options) == ("--token" in options)
    assert ("--url" in options) == (name in THERE or name in REFUSED or name in REMOTE_TOO)
    assert ("--yes" in options) == (name in ("cache purge", "optimize kill", "profiles delete"))
    assert LEAVES[name].help
    unsaid = [one.name for one in LEAVES[name].params if isinstance(one, click.Option) and not one.help]
    assert unsaid == []


REMOTE_TOO = {"doctor", "explain", "cache warm", "optimize run"}


@pytest.mark.parametrize("name", [*HERE, *THERE])
def test_data_is_json_on_stdout(folder: Path, site: str, name: str) -> None:
    line = (HERE | THERE)[name].format(site=site)
    where = f" --url {site}" if name in THERE else ""
    done = perfmw(folder, f"{line} --json{where}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) is not None
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_there_is_said_on_stderr(folder: Path, site: str, name: str) -> None:
    done = perfmw(folder, f"{REFUSED[name]} --json --url {site}")
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", [*THERE, *REFUSED])
def test_a_server_that_does_not_answer_is_a_failure(folder: Path, name: str) -> None:
    line = (THERE | REFUSED)[name].format(site="http://127.0.0.1:1")
    done = perfmw(folder, f"{line} --json --url http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "see that the server runs" in done.stderr


@pytest.mark.parametrize("name", LEAVES)
def test_an_option_that_is_not_there_is_wrong_usage(name: str) -> None:
    from click.testing import CliRunner

    done = CliRunner().invoke(cli, [*name.split(), "--no-such-option"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "No such option" in done.stderr
    helped = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert (helped.exit_code, helped.stderr) == (0, "")
    assert "Usage:" in helped.stdout


@pytest.mark.parametrize("line", ["cache purge --key nothing", "optimize kill"])
def test_what_cannot_be_undone_is_not_done_unasked(folder: Path, site: str, line: str) -> None:
    done = perfmw(folder, f"{line} --url {site}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--yes" in done.stderr


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_tells_where_it_listens(folder: Path, site: str, name: str, tmp_path: Path) -> None:
    more = ["-o", str(tmp_path / "trace.txt")] if name == "record" else []
    line = [*COMMAND, *SERVERS[name].format(site=site).split(), "--port", "0", "--json", *more]
    with subprocess.Popen(
        line, cwd=folder, env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        process.terminate()
        assert process.stdout.read() == ""
    assert told["serves"] == (site if name == "proxy" else "shop:app")
    assert told["url"].startswith("http://127.0.0.1:")
    assert told["dashboard"] == (None if name == "proxy" else f"{told['url']}/_perfmw/")


def test_samples_of_metrics_as_json(folder: Path, site: str) -> None:
    found = json.loads(perfmw(folder, f"export prometheus --json --url {site}").stdout)
    assert {"name", "labels", "value"} == set(found[0])
    about = next(one for one in found if one["name"] == "perfmw_build_info")
    assert about["value"] == 1.0
    assert "version" in about["labels"]


def test_a_file_that_was_written_is_told(run: Run, tmp_path: Path) -> None:
    done = run("export", "grafana", "--json", "-o", "board.json")
    assert json.loads(done.stdout) == {
        "file": "board.json",
        "bytes": (tmp_path / "board.json").stat().st_size,
    }
