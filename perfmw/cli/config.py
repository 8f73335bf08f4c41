"""``perfmw config``: the settings in force."""

from __future__ import annotations

import json
from typing import Any

import click

from perfmw.cli.output import Refusal, print_json, table
from perfmw.settings import Settings, SettingsError


@click.group()
def config() -> None:
    """Show the settings in force and where each came from."""


def load_settings() -> Settings:
    """The settings of the working directory and environment; a bad one ends the command with exit code 2."""
    try:
        return Settings.load()
    except SettingsError as error:
        raise Refusal(str(error)) from None


@config.command()
@click.option("--origin", "with_origin", is_flag=True, help="Say where each value came from.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")
def show(with_origin: bool, as_json: bool) -> None:
    """Show every setting as perfmw would use it in this directory and environment.

    The order: a keyword in code, PERFMW_* in the environment, perfmw.toml, [tool.perfmw] in pyproject.toml,
    the default. Secrets are hidden.
    """
    settings = load_settings()
    values = settings.to_dict()
    if as_json:
        print_json({name: _as_data(settings, name, value, with_origin) for name, value in values.items()})
        return
    head = ("setting", "value", "from") if with_origin else ("setting", "value")
    rows = [[name, _as_text(value), settings.origin(name)][: len(head)] for name, value in values.items()]
    click.echo(table(head, rows))


def _as_data(settings: Settings, name: str, value: Any, with_origin: bool) -> Any:
    return {"value": value, "origin": settings.origin(name)} if with_origin else value


def _as_text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
