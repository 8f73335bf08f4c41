"""Templates are compiled once, outside the event loop, and kept where Python keeps compiled modules."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from perfmw.dashboard.compiled import template
from perfmw.dashboard.render import load_templates

pytestmark = pytest.mark.anyio
PAGE = "plugins.html"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Python keeps what it compiles, empty."""
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path


@pytest.fixture
def compilers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that compiled, one entry a template."""
    found: list[int] = []
    compile = Environment.compile

    def noted(self: Environment, *args: Any, **options: Any) -> Any:
        found.append(threading.get_ident())
        return compile(self, *args, **options)

    monkeypatch.setattr(Environment, "compile", noted)
    return found


async def load() -> Any:
    templates = load_templates()
    assert templates is not None
    return await template(templates, PAGE)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def test_a_page_compiles_what_it_needs_and_outside_the_event_loop(
    kept: Path, compilers: list[int]
) -> None:
    await load()
    assert 3 <= len(compilers) < 8
    assert threading.get_ident() not in compilers
    assert {path.name.split(".")[0] for path in files(kept)} >= {"base", "plugins", "shapes", "shell"}


async def test_the_next_process_compiles_nothing(kept: Path, compilers: list[int]) -> None:
    first = await load()
    compilers.clear()
    assert (await load()).root_render_func.__code__ == first.root_render_func.__code__
    assert compilers == []


@pytest.mark.parametrize("harm", [lambda kept: b"", lambda kept: kept[:-7], lambda kept: b"x" + kept])
async def test_what_is_spoilt_or_of_another_version_is_compiled_anew(
    harm: Any, kept: Path, compilers: list[int]
) -> None:
    await load()
    before = len(compilers)
    for path in files(kept):
        path.write_bytes(harm(path.read_bytes()))
    await load()
    assert len(compilers) == 2 * before


async def test_nothing_is_kept_where_python_keeps_nothing(
    kept: Path, compilers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    await load()
    assert files(kept) == []
    assert compilers


async def test_a_folder_that_takes_nothing_is_no_trouble(
    kept: Path, compilers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = kept / "file"
    blocked.write_text("")
    monkeypatch.setattr(sys, "pycache_prefix", str(blocked))
    await load()
    assert compilers
