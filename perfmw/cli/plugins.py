"""``perfmw plugins``: what is installed, what it adds, and what is wrong with it."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from perfmw.cli.config import load_settings
from perfmw.cli.output import FAILURE_FOUND, note, print_json

if TYPE_CHECKING:
    from perfmw.plugins import PluginInfo, Plugins


@click.group()
def plugins() -> None:
    """Show the plugins that are installed and what they add."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")
def list_plugins(as_json: bool) -> None:
    """List plugins with version, hooks, registered names and problems.

    Exit code 1 if a plugin was left out because of a problem.
    """
    loaded = load_plugins()
    infos = loaded.describe()
    if as_json:
        print_json([asdict(info) for info in infos])
    else:
        click.echo("\n\n".join(_as_text(info) for info in infos))
    problems = [problem for info in infos for problem in info.problems]
    # A name on the allow-list that is not installed is a problem without a plugin to list.
    problems += [f"{p.plugin}: {p.problem}" for p in loaded.problems if p.problem not in problems]
    if problems:
        note(f"{len(problems)} problem{'s' * (len(problems) > 1)} found")
        raise SystemExit(FAILURE_FOUND)


def load_plugins() -> Plugins:
    """The built-ins and the installed plugins, as a runtime in this directory would load them."""
    from perfmw import defaults
    from perfmw.plugins import Plugins

    settings = load_settings()
    log = logging.getLogger("perfmw.plugins")
    before = log.level
    log.setLevel(logging.CRITICAL)  # the problems are part of what is shown; here they would be said twice
    try:
        return Plugins(settings, defaults=defaults)
    finally:
        log.setLevel(before)


def register_commands(group: click.Group) -> None:
    """Let the installed plugins add their commands to ``group``."""
    loaded = load_plugins()
    loaded.register_commands(group)
    for problem in loaded.problems:
        note(f"plugin {problem.plugin}: {problem.problem}")


def _as_text(info: PluginInfo) -> str:
    version = f" {info.version}" if info.version else ""
    source = f"{info.origin}, {info.distribution}" if info.distribution else info.origin
    lines = [f"{info.name}{version} ({source}){'' if info.active else ' – left out'}"]
    if info.hooks:
        lines.append(f"  hooks: {', '.join(info.hooks)}")
    lines += [f"  {kind}: {', '.join(names)}" for kind, names in info.registered.items() if names]
    lines += [f"  problem: {problem}" for problem in info.problems]
    return "\n".join(lines)
