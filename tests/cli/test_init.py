from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from perfmw import Settings
from perfmw.cli.guessing import guesses
from perfmw.cli.init import as_toml, settings_file
from perfmw.settings.model import options
from tests.cli.conftest import Run

APPS = {
    "main.py": "from fastapi import FastAPI\napp = FastAPI(title='x')\n",
    "shop/web.py": "import starlette.applications as s\nsite: object = s.Starlette()\n",
    "src/pkg/api.py": "from litestar import Litestar\napp = Litestar([])\n",
    "q.py": "from quart import Quart\nweb = Quart(__name__)\n",
    "config/asgi.py": "from django.core.asgi import get_asgi_application\n"
    "application = get_asgi_application()\n",
    "make.py": "from fastapi import FastAPI\ndef create():\n    app = FastAPI()\n    return app\n",
}
LINES = {
    "main:app": "app.add_middleware(PerfMiddleware)  # after every other add_middleware",
    "shop.web:site": "site.add_middleware(PerfMiddleware)  # after every other add_middleware",
    "pkg.api:app": "app = PerfMiddleware(app)  # at the end",
    "q:web": "web.asgi_app = PerfMiddleware(web.asgi_app)  # at the end",
    "config.asgi:application": "application = PerfMiddleware(application)  # at the end",
    "make:create": "create.add_middleware(PerfMiddleware)  # after every other add_middleware",
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_apps_of_every_framework_are_found(tmp_path: Path) -> None:
    write(tmp_path, APPS)
    found = guesses(tmp_path)
    assert {guess.target: guess.lines[1] for guess in found} == LINES
    assert found[0].target == "main:app"
    assert [guess.target for guess in found if guess.factory] == ["make:create"]
    assert {guess.framework for guess in found} == {"FastAPI", "Starlette", "Litestar", "Quart", "Django"}


@pytest.mark.parametrize(
    "name", ["tests/app.py", ".venv/app.py", "venv/app.py", "a/b/c/d/app.py", "broken.py"]
)
def test_what_is_no_app_of_this_project_is_left_alone(tmp_path: Path, name: str) -> None:
    text = "app = FastAPI()\n" if name != "broken.py" else "app = FastAPI(\n"
    write(tmp_path, {name: text, "plain.py": "import os\napp = os.getcwd()\n"})
    assert guesses(tmp_path) == []


def test_the_file_says_every_setting_and_changes_none(tmp_path: Path) -> None:
    text = settings_file()
    assert tomllib.loads(text) == {}
    for name in options():
        assert f"\n# {name} = " in text


def test_the_defaults_in_the_file_are_the_defaults(tmp_path: Path) -> None:
    wanted = "|".join(options())
    text = re.sub(rf"^# (?=({wanted}) = (?!\(not set\)))", "", settings_file(), flags=re.M)
    (tmp_path / "perfmw.toml").write_text(text)
    written = Settings.load(env={}, cwd=tmp_path)
    assert written.to_dict() == Settings.load(env={}, cwd=tmp_path / "none").to_dict()
    assert written.origin("apdex_t") == "perfmw.toml"


def test_values_in_toml() -> None:
    value = {"a": [1, 2.5, "x"], "b-c": {"d e": True}, "none": None, "empty": {}}
    assert tomllib.loads(f"v = {as_toml(value)}")["v"] == {
        "a": [1, 2.5, "x"],
        "b-c": {"d e": True},
        "empty": {},
    }


def test_init_writes_once_and_finds_the_app(run: Run, tmp_path: Path) -> None:
    write(tmp_path, {"main.py": APPS["main.py"]})
    done = run("init")
    assert done.returncode == 0, done.stderr
    assert "perfmw run main:app" in done.stdout
    assert "app.add_middleware(PerfMiddleware)" in done.stdout
    before = (tmp_path / "perfmw.toml").read_text()
    (tmp_path / "perfmw.toml").write_text("apdex_t = 1\n")
    refused = run("init")
    assert (refused.returncode, "--force" in refused.stderr) == (2, True)
    assert (tmp_path / "perfmw.toml").read_text() == "apdex_t = 1\n"
    forced = run("init", "--force", "--json")
    assert forced.returncode == 0
    assert json.loads(forced.stdout)["apps"][0]["target"] == "main:app"
    assert (tmp_path / "perfmw.toml").read_text() == before
    assert run("config", "show").returncode == 0


def test_init_where_there_is_no_app(run: Run) -> None:
    done = run("init", "-o", "other.toml")
    assert "No app was found here" in done.stdout
    assert run("init", "-o", "nowhere/perfmw.toml").returncode == 2
