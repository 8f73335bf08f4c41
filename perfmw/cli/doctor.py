"""``perfmw doctor``: what is misconfigured, and how to mend it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from perfmw.cli.api import SERVER, TOKEN
from perfmw.cli.output import FAILURE_FOUND, Failure, note, print_json

if TYPE_CHECKING:
    from perfmw.cli.findings import Finding
    from perfmw.settings import Settings

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command()
@click.argument("app", required=False)
@click.option("--factory", is_flag=True, help="APP is a callable that makes the app.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    envvar="WEB_CONCURRENCY",
    default=1,
    show_default=True,
    help="How many processes are to serve it.",
)
@SERVER
@TOKEN
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")
def doctor(
    app: str | None, factory: bool, workers: int, server: str | None, token: str | None, as_json: bool
) -> None:
    """Find what is misconfigured, and say how to mend it.

    Looks at the settings of this directory and environment, tries out the layers, files and plugins they
    name, and looks at the middlewares of APP (module:attribute), which is imported but not started. With
    --url, at a running perfmw instead. Exit code 1 if something is an error.
    """
    from perfmw.cli.findings import in_order

    if server is not None:
        from perfmw.cli.doctor_server import check_server

        found, known = check_server(server, token), {}
    else:
        from perfmw.cli.doctor_backends import versions

        with redirect_stdout(sys.stderr):  # what the app prints while it is imported
            found, known = _here(app, factory=factory, workers=workers), versions()
    _tell(in_order(found), known, as_json=as_json)


def _here(app: str | None, *, factory: bool, workers: int) -> list[Finding]:
    from perfmw.cli import findings
    from perfmw.cli.doctor_backends import check_versions
    from perfmw.cli.doctor_settings import check_environment

    found = [*check_environment(os.environ), *check_versions()]
    settings, wrong = _settings()
    found += wrong
    if app is not None:
        try:
            settings = _look_at(app, factory, settings, found)
        except Failure as raised:
            found.append(findings.error("app", raised.message, "Mend the app; it cannot be imported."))
    if settings is not None:
        found += _in_force(settings, workers)
    return found


def _settings() -> tuple[Settings | None, list[Finding]]:
    from perfmw.cli.findings import error
    from perfmw.settings import Settings, SettingsError

    try:
        return Settings.load(), []
    except SettingsError as wrong:
        fix = "Correct it where it says it is from; docs/settings.md lists what is allowed."
        return None, [error("settings", line, fix) for line in str(wrong).splitlines()]


def _look_at(target: str, factory: bool, settings: Settings | None, found: list[Finding]) -> Settings | None:
    """Add what is found in the app; the settings it is to be served with."""
    from perfmw.cli.doctor_app import check_app, parts_of, plugins_of, settings_of
    from perfmw.cli.doctor_backends import check_plugins
    from perfmw.cli.loading import load

    if settings is None:
        return None  # an app with perfmw in it could not be imported either
    app = load(target, factory=factory, bare=True)
    parts = parts_of(app)
    settings = settings_of(parts) or settings
    found += check_app(app, parts, settings)
    if (plugins := plugins_of(parts, settings)) is not None:
        found += check_plugins(plugins)
    return settings


def _in_force(settings: Settings, workers: int) -> Iterator[Finding]:
    from perfmw.cli.doctor_backends import check_files, check_layers, check_plugins
    from perfmw.cli.doctor_settings import check_settings
    from perfmw.cli.plugins import load_plugins

    yield from check_settings(settings, workers=workers)
    yield from check_files(settings)
    yield from check_plugins(load_plugins())
    yield from asyncio.run(check_layers(settings))


def _tell(found: list[Finding], known: dict[str, str], *, as_json: bool) -> None:
    from perfmw.cli.findings import summary

    errors = sum(one.severity == "error" for one in found)
    if as_json:
        data: dict[str, Any] = {"findings": [asdict(one) for one in found], "errors": errors}
        print_json(data | {"versions": known})
    else:
        for one in found:
            kind = click.style(f"{one.severity:<7}", fg=_COLOURS[one.severity], bold=True)
            click.echo(f"{kind}  {one.what}\n         {one.fix}  [{one.code}]\n")
        note(", ".join(f"{name} {version}" for name, version in known.items()))
        note(summary(found))
    if errors:
        raise SystemExit(FAILURE_FOUND)
