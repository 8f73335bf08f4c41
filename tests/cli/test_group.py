from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from perfmw import hookimpl
from perfmw.cli import plugins as plugins_command
from perfmw.cli.group import LazyGroup, cli
from perfmw.cli.output import table
from perfmw.plugins import Plugins
from perfmw.settings import Settings
from tests.cli.conftest import Run


class Greeting:
    """A plugin with a command of its own and one whose name is taken."""

    @hookimpl
    def perfmw_register_commands(self, cli: click.Group) -> None:
        @click.command()
        def greet() -> None:
            """Say hello."""
            click.echo("hello")

        cli.add_command(greet)


def test_help_lists_the_commands_without_importing_them() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom perfmw.cli.group import cli\n"
        "result = CliRunner().invoke(cli, ['--help'])\nprint(result.output)\n"
        "print([name for name in sys.modules if name.startswith('perfmw.cli.')], 'rich' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(f"  {name} " in said for name in ("config", "demo", "plugins", "proxy", "replay", "run"))
    assert said.splitlines()[-1] == "['perfmw.cli.group'] False"


@pytest.mark.parametrize("name", ["config", "demo", "plugins", "proxy", "replay", "run"])
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: cli {name}")


def test_version() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("perfmw 0.")


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(cli, ["nosuch"])
    assert result.exit_code == 2
    assert "No such command 'nosuch'" in result.output


def test_commands_of_plugins_are_found_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Plugins(Settings.load(env={}), [Greeting()], entry_points=[])
    monkeypatch.setattr(plugins_command, "load_plugins", lambda: loaded)
    group = LazyGroup("perfmw")
    result = CliRunner().invoke(group, ["greet"])
    assert (result.exit_code, result.output) == (0, "hello\n")
    assert "greet" in CliRunner().invoke(group, ["--help"]).output


def test_plugins_list_as_json(run: Run) -> None:
    done = run("plugins", "list", "--json")
    assert done.returncode == 0, done.stderr
    built_in = next(item for item in json.loads(done.stdout) if item["origin"] == "built-in")
    assert built_in["active"]
    assert "lru" in built_in["registered"]["eviction_policies"]
    assert "perfmw_register_cache_layers" in built_in["hooks"]


def test_a_plugin_with_a_problem_is_named_and_the_exit_code_is_1(run: Run) -> None:
    done = run("plugins", "list", "--json", env={"PERFMW_PLUGINS": "nosuch"})
    assert done.returncode == 1
    missing = next(item for item in json.loads(done.stdout) if item["name"] == "nosuch")
    assert "no plugin of that name is installed" in missing["problems"][0]
    assert "1 problem found" in done.stderr


def test_a_plugin_that_raises_at_import_is_named(run: Run, tmp_path: Path) -> None:
    info = tmp_path / "broken_plugin-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[perfmw]\nbroken = broken_plugin\n")
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('not today')\n")
    done = run("plugins", "list", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert "broken 1.2 (installed, broken-plugin) – left out" in done.stdout
    assert "not today" in done.stdout


def test_config_show_names_each_origin(run: Run, tmp_path: Path) -> None:
    (tmp_path / "perfmw.toml").write_text("apdex_t = 0.25\n")
    (tmp_path / "pyproject.toml").write_text("[tool.perfmw]\nmax_profiles = 7\n")
    env = {"PERFMW_HEURISTIC_FRACTION": "0.2", "PERFMW_DASHBOARD_TOKEN": "s3cret-token"}
    done = run("config", "show", "--origin", "--json", env=env)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["apdex_t"] == {"value": 0.25, "origin": "perfmw.toml"}
    assert shown["max_profiles"] == {"value": 7, "origin": "pyproject.toml [tool.perfmw]"}
    assert shown["heuristic_fraction"] == {"value": 0.2, "origin": "env PERFMW_HEURISTIC_FRACTION"}
    assert shown["coalesce"] == {"value": True, "origin": "default"}
    assert "s3cret-token" not in done.stdout


def test_config_show_for_people(run: Run) -> None:
    lines = run("config", "show", "--origin", env={"PERFMW_LAYERS": "memory"}).stdout.splitlines()
    assert lines[0].split() == ["setting", "value", "from"]
    assert ["layers", '["memory"]', "env", "PERFMW_LAYERS"] in [line.split() for line in lines]


def test_a_malformed_setting_is_bad_input(run: Run) -> None:
    done = run("config", "show", env={"PERFMW_APDEX_T": "soon"})
    assert done.returncode == 2
    assert "apdex_t = 'soon' (from env PERFMW_APDEX_T)" in done.stderr
    assert done.stdout == ""


def test_tables_align_their_columns() -> None:
    assert table(["a", "n"], [["long one", "1"], ["b", "100"]], right=frozenset({1})) == (
        "a           n\nlong one    1\nb         100"
    )
