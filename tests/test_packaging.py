"""What is shipped is whole, and a separately built plugin comes in through the door from outside."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(path for path in (ROOT / "plugins").iterdir() if (path / "pyproject.toml").exists())
ALLOWED_IN_PLUGINS = ("perfmw", "perfmw.contracts", "perfmw.hookspecs", "perfmw.testing")


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def run_python(target: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Python in an empty directory that sees what was installed in ``target``."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PERFMW_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=target,
        env={**clean, "PYTHONPATH": str(target), **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def twoq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """perfmw-twoq, built from its folder and installed by pip where nothing else is."""
    target = tmp_path_factory.mktemp("target")
    pip("install", "--no-deps", "--no-build-isolation", "--target", target, ROOT / "plugins" / "perfmw-twoq")
    return target


DOOR = """
import json, sys
from perfmw import Runtime, Settings

runtime = Runtime(Settings(eviction_policy="twoq", memory_max_entries=8))
for number in range(100):
    runtime.cache.memory.set_nowait(str(number), number)
[info] = [info for info in runtime.plugins.describe() if info.name == "twoq"]
print(json.dumps({
    "policy": runtime.cache.infos()[0].policy,
    "entries": len(runtime.cache.memory),
    "file": sys.modules["perfmw_twoq"].__file__,
    "info": [info.origin, info.distribution, info.version, info.active, info.registered],
    "problems": [problem.problem for problem in runtime.plugins.problems],
}))
"""


def test_an_installed_policy_is_found_by_entry_point_and_chosen_by_name(twoq: Path) -> None:
    done = run_python(twoq, "-c", DOOR)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["policy"] == "twoq"
    assert 0 < told["entries"] <= 8
    assert Path(told["file"]).is_relative_to(twoq)
    registered = {"eviction_policies": ["twoq"]}
    assert told["info"] == ["installed", "perfmw-twoq", "0.1.0", True, registered]
    assert told["problems"] == []


def test_the_command_line_lists_it(twoq: Path) -> None:
    done = run_python(twoq, "-m", "perfmw.cli", "plugins", "list", "--json")
    assert done.returncode == 0, done.stderr
    [listed] = [plugin for plugin in json.loads(done.stdout) if plugin["name"] == "twoq"]
    assert listed["hooks"] == ["perfmw_register_eviction_policies"]
    assert listed["version"] == "0.1.0"


def test_an_allow_list_without_it_keeps_it_out(twoq: Path) -> None:
    done = run_python(twoq, "-c", DOOR, PERFMW_PLUGINS="[]")
    assert done.returncode == 1
    assert (
        "eviction_policy = 'twoq' (from keyword): there is no such eviction policy; allowed: " in done.stderr
    )


def test_a_broken_installed_plugin_leaves_the_app_running(tmp_path: Path) -> None:
    info = tmp_path / "perfmw_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: perfmw-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[perfmw]\nbroken = perfmw_broken\n")
    (tmp_path / "perfmw_broken.py").write_text("raise RuntimeError('no licence')\n")
    done = run_python(tmp_path, "-c", "from perfmw import Runtime; Runtime(); print('runs')")
    assert (done.returncode, done.stdout) == (0, "runs\n"), done.stderr
    reason = "it raised while it was loaded: RuntimeError: no licence"
    assert done.stderr.splitlines() == [f"plugin 'broken' (perfmw-broken 1.0): left out: {reason}"]


def imports_of(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return {name for name in found if name == "perfmw" or name.startswith("perfmw.")}


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_plugins_import_only_what_is_promised_to_them(plugin: Path) -> None:
    files = sorted((plugin / "src").rglob("*.py"))
    assert files
    for file in files:
        assert imports_of(file) <= set(ALLOWED_IN_PLUGINS), file


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_plugins_are_packages_with_a_readme_and_tests(plugin: Path) -> None:
    assert (plugin / "README.md").read_text(encoding="utf-8").startswith(f"# {plugin.name}\n")
    assert list((plugin / "tests").glob("test_*.py"))
    assert "[project.entry-points.perfmw]" in (plugin / "pyproject.toml").read_text(encoding="utf-8")


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(tmp_path: Path) -> None:
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT)
    [wheel] = tmp_path.glob("perfmw-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tracked = [
        path for path in (ROOT / "perfmw").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    missing = {path.relative_to(ROOT).as_posix() for path in tracked} - set(names)
    assert not missing
    assert "perfmw/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"perfmw"}
