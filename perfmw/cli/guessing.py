"""Where an app is in the files of a directory, by reading them and importing none."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FRAMEWORKS = {
    "FastAPI": "FastAPI",
    "Starlette": "Starlette",
    "Litestar": "Litestar",
    "Quart": "Quart",
    "get_asgi_application": "Django",
}
"""The call that makes an app, and whose it is."""
_SKIPPED = frozenset(
    {"venv", "env", "node_modules", "tests", "test", "docs", "build", "dist", "site-packages", "__pycache__"}
)
_LIKELY = ("main", "app", "asgi", "server", "api", "application")
_DEEPEST = 3
_MOST_FILES = 500
_LARGEST = 512 * 1024


@dataclass(frozen=True, slots=True)
class Guess:
    """An app that was found: ``target`` is ``module:attribute``."""

    target: str
    framework: str
    file: str
    factory: bool = False

    @property
    def lines(self) -> tuple[str, str]:
        """What to add to the file for perfmw to be in it."""
        name = self.target.partition(":")[2]
        return "from perfmw import PerfMiddleware", _LINES[self.framework].format(name=name)


_LINES = {
    "FastAPI": "{name}.add_middleware(PerfMiddleware)  # after every other add_middleware",
    "Starlette": "{name}.add_middleware(PerfMiddleware)  # after every other add_middleware",
    "Litestar": "{name} = PerfMiddleware({name})  # at the end",
    "Quart": "{name}.asgi_app = PerfMiddleware({name}.asgi_app)  # at the end",
    "Django": "{name} = PerfMiddleware({name})  # at the end",
}


def guesses(folder: Path) -> list[Guess]:
    """The apps in the Python files below ``folder``, the likeliest first. Bounded in depth and files."""
    found = [guess for path in _files(folder) for guess in _in_file(folder, path)]
    return sorted(found, key=_likelihood)


def _likelihood(guess: Guess) -> tuple[bool, int, int, str]:
    module, _, name = guess.target.partition(":")
    stem = module.rpartition(".")[2]
    likely = _LIKELY.index(stem) if stem in _LIKELY else len(_LIKELY)
    return guess.factory, module.count("."), likely + (name not in ("app", "application")), guess.target


def _files(folder: Path) -> Iterator[Path]:
    left = _MOST_FILES
    for place, folders, names in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if _worth_a_look(name)) if depth < _DEEPEST else []
        for name in sorted(names):
            if name.endswith(".py") and not name.startswith("test_") and left > 0:
                left -= 1
                yield Path(place, name)


def _worth_a_look(name: str) -> bool:
    return name not in _SKIPPED and not name.startswith((".", "_"))


def _in_file(folder: Path, path: Path) -> Iterator[Guess]:
    try:
        if path.stat().st_size > _LARGEST:
            return
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    file = path.relative_to(folder)
    parts = list(file.with_suffix("").parts)
    if parts[0] == "src" and len(parts) > 1:
        parts.pop(0)
    if parts[-1] == "__init__":
        parts.pop()
    module = ".".join(parts)
    for statement in tree.body if module else ():
        yield from _in_statement(statement, module, file.as_posix())


def _in_statement(statement: ast.stmt, module: str, file: str) -> Iterator[Guess]:
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        framework = _framework(statement.value)
        for target in targets:
            if framework and isinstance(target, ast.Name):
                yield Guess(f"{module}:{target.id}", framework, file)
    elif isinstance(statement, ast.FunctionDef) and not statement.args.args:
        framework = next(filter(None, map(_framework, _calls(statement))), None)
        if framework and any(isinstance(node, ast.Return) and node.value for node in ast.walk(statement)):
            yield Guess(f"{module}:{statement.name}", framework, file, factory=True)


def _calls(function: ast.FunctionDef) -> Iterator[ast.expr]:
    return (node for node in ast.walk(function) if isinstance(node, ast.Call))


def _framework(value: ast.expr | None) -> str | None:
    if not isinstance(value, ast.Call):
        return None
    called = value.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return FRAMEWORKS.get(name)
