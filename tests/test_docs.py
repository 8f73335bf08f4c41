"""The documents are true: their examples run, their references match the code, their links lead somewhere."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import itertools
import re
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import perfmw
from perfmw import hookimpl, hookspecs
from perfmw.plugins import Plugins
from perfmw.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("plugins/*/README.md"))]
HOOKS = [name for name in vars(hookspecs) if name.startswith("perfmw_")]
EXCERPTS = {"perfmw-ml", "perfmw-twoq"}
"""Pages whose blocks show one line of an app and are no programs."""


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The fenced blocks of a page, each with the number of the line before it."""
    text = page.read_text(encoding="utf-8")
    pattern = rf"^```{language}\n(.*?)^```$"
    return [(text[: m.start()].count("\n") + 1, m[1]) for m in re.finditer(pattern, text, re.M | re.S)]


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


async def run_page(page: Path, namespace: dict[str, Any]) -> int:
    """Run a page's Python blocks one after the other, as one program that may await."""
    found = blocks(page, "python")
    for line, source in found:
        code = compile("\n" * line + source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, namespace)
        if inspect.isawaitable(result):
            await result
    return len(found)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.parent.name in EXCERPTS:
        pytest.skip("shows excerpts")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "tests" / "hosts")  # the Django project that a page serves
    module = types.ModuleType(f"page_{page.stem}")  # what looks up its own module finds one
    monkeypatch.setitem(__import__("sys").modules, module.__name__, module)
    ran = asyncio.run(run_page(page, vars(module)))
    assert ran == page.read_text(encoding="utf-8").count("```python\n")


@pytest.mark.parametrize("page", ["README.md", "docs/concepts.md", "docs/plugins.md", "docs/security.md"])
def test_pages_that_explain_have_examples(page: str) -> None:
    assert blocks(ROOT / page, "python")


def generator() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "hooks.md", "cli.md"])
def test_the_reference_is_current(name: str) -> None:
    expected = generator().PAGES[name]()
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == expected, "run python docs/generate.py"


def sections() -> dict[str, str]:
    parts = re.split(r"^### (\w+)$", (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_hook_has_a_section_and_every_section_a_hook() -> None:
    assert sorted(sections()) == sorted(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_the_section_of_a_hook_tells_what_it_must(name: str) -> None:
    section = sections()[name]
    assert "**When:** Fires " in section
    for argument in inspect.signature(getattr(hookspecs, name)).parameters:
        assert f"- `{argument}`: " in section
    assert "- returns " in section


@pytest.mark.parametrize("name", HOOKS)
def test_the_example_of_a_hook_is_a_plugin_that_loads(name: str) -> None:
    [example] = re.findall(r"^```python\n(.*?)^```$", sections()[name], re.M | re.S)
    tree = ast.parse(example)
    [function] = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert function == name
    plugin = types.ModuleType("example")
    exec(compile(tree, name, "exec"), vars(plugin) | {"hookimpl": hookimpl}, namespace := {})
    vars(plugin).update({name: namespace[name]})
    loaded = Plugins(Settings.load(env={}, plugins=[]), [without_registering(plugin, name)])
    assert loaded.problems == []
    assert loaded.has(name)


def without_registering(plugin: types.ModuleType, name: str) -> types.ModuleType:
    """The example's signature with a body that needs nothing: what it names is not there."""
    if name.startswith("perfmw_register_"):
        arguments = ", ".join(inspect.signature(vars(plugin)[name]).parameters)
        source = f"def {name}({arguments}):\n    return None"
        exec(textwrap.dedent(source), namespace := {})
        vars(plugin)[name] = hookimpl(namespace[name])
    return plugin


def test_every_hook_is_called_somewhere() -> None:
    """By its name in a string; the reference says of the others that nothing calls them."""
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "perfmw").rglob("*.py")
        if path.name != "hookspecs.py"
    )
    uncalled = {name for name in HOOKS if f'"{name}"' not in sources}
    assert uncalled == {name for name, section in sections().items() if "Reserved" in section}


def links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def quick_start() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## Quick start\n", 1)[1].split("\n## ", 1)[0]
    assert section.count("```") == 4, "two fenced blocks, and no other"
    return re.findall(r"^```shell\n(.*?)^```$", section, re.M | re.S)


def test_the_quick_start_has_two_blocks_the_demo_and_the_tests() -> None:
    demo, tests = quick_start()
    assert demo.strip().endswith(".venv/bin/perfmw demo")
    assert re.search(r"\.venv/bin/python -m pytest( -n auto)?$", tests.strip())
    assert demo.startswith("python3 -m venv .venv && ")
    assert tests.startswith("python3 -m venv .venv && ")


def commands_in(page: Path) -> set[str]:
    """What the page types after ``perfmw``: the words before the first argument or option."""
    lines = re.findall(r"`perfmw ([a-z][^`\n]*)`", page.read_text(encoding="utf-8"))
    for _, block in blocks(page, "shell"):
        lines += re.findall(r"(?:^|bin/|\s)perfmw ([a-z].*)", block)
    return {" ".join(itertools.takewhile(is_command_word, line.split())) for line in lines}


def is_command_word(word: str) -> bool:
    return re.fullmatch("[a-z]+", word) is not None


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_on_a_page_exist(page: Path) -> None:
    from perfmw.cli.group import cli

    for command in commands_in(page):
        node: click.Command | None = cli
        for word in command.split():
            context = click.Context(node)
            node = node.get_command(context, word) if isinstance(node, click.Group) else None
            assert node is not None, f"{page.name}: perfmw {command}"


def test_public_names_are_the_documented_ones() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in perfmw.__all__:
        assert name.startswith("__") or name in text, name
