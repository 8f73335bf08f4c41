"""Where settings come from besides keywords: the environment and two files."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from perfmw.settings.kinds import SettingsError, did_you_mean

log = logging.getLogger("perfmw.settings")

ENV_PREFIX = "PERFMW_"
OTHER_VARIABLES = frozenset(
    {"TARGET", "TARGET_FACTORY", "DATA", "DEMO_SECONDS", "NO_BROWSER", "URL"}
    | {"RECORD_FILE", "RECORD_KEY", "RECORD_BYTES", "RECORD_PLAIN", "SCREENSHOTS", "SCREENSHOT_SECONDS"}
)
"""``PERFMW_*`` variables that are no settings: they belong to commands and to the test suite."""


def from_env(env: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """Settings in the environment; an empty variable counts as not set."""
    found = {}
    for variable, value in env.items():
        word = variable.removeprefix(ENV_PREFIX)
        if word == variable or word in OTHER_VARIABLES:
            continue
        if word.lower() in names and word == word.upper():
            if value.strip():
                found[word.lower()] = value
            continue
        known = [*map(str.upper, names), *OTHER_VARIABLES]
        hint = did_you_mean(variable, [ENV_PREFIX + name for name in known])
        log.warning("unknown variable %s in the environment is ignored%s", variable, hint)
    return found


def from_files(cwd: Path) -> list[tuple[Mapping[str, Any], str]]:
    own = _read_toml(cwd / "perfmw.toml")
    table: Any = _read_toml(cwd / "pyproject.toml")
    for part in ("tool", "perfmw"):
        table = table.get(part, {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        raise SettingsError(f"{cwd / 'pyproject.toml'}: tool.perfmw = {table!r}; allowed: a table")
    return [(own, "perfmw.toml"), (table, "pyproject.toml [tool.perfmw]")]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    import tomllib  # only those who have such a file pay for it

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}") from None


def unknown(values: Mapping[str, Any], origin: str, known: Collection[str]) -> list[str]:
    """A complaint about each name that no setting has."""
    return [
        f"unknown setting {name!r} (from {origin}){did_you_mean(name, known)}"
        for name in values
        if name not in known
    ]


def first(name: str, default: object, sources: Iterable[tuple[Mapping[str, Any], str]]) -> tuple[object, str]:
    """The value of the first source that has one, and where that is."""
    for values, origin in sources:
        if name in values:
            return values[name], f"env {ENV_PREFIX}{name.upper()}" if origin == "env" else origin
    return default, "default"
