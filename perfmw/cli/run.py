"""``perfmw run``: serve any ASGI app wrapped in perfmw, without changing its code."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Literal, cast

import click

from perfmw.cli.config import load_settings
from perfmw.cli.options import ANNOUNCED, FACTORY, HOST, SERVER, WORKERS, announce, base_url, port
from perfmw.cli.output import Refusal
from perfmw.settings import DashboardMode, Settings

Server = Literal["uvicorn", "granian", "hypercorn"]


@click.command()
@click.argument("app")
@HOST
@port(8000)
@WORKERS
@SERVER
@FACTORY
@click.option("--reload", is_flag=True, help="Restart when a source file changes (for development).")
@click.option(
    "--dashboard",
    type=click.Choice(["off", "loopback", "token"]),
    help="Who sees the dashboard: nobody, this machine, or whoever has the token. Default: as set, else "
    "loopback when only this machine reaches the host, else token.",
)
@click.option(
    "--record",
    "trace",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Record the keys asked for to a new file, as `perfmw record` does, up to 100 MiB.",
)
@ANNOUNCED
def run(
    app: str,
    host: str,
    port: int,
    workers: int,
    server: str,
    factory: bool,
    reload: bool,
    dashboard: str | None,
    trace: Path | None,
    as_json: bool,
) -> None:
    """Serve APP (module:attribute, or a module with an attribute `app`) wrapped in perfmw.

    Modules are looked for in the working directory first. Settings come from PERFMW_* in the environment,
    perfmw.toml and pyproject.toml: see `perfmw config show`.
    """
    from perfmw.cli import loading, serving

    if reload and workers > 1:
        raise Refusal("--reload and --workers do not go together: the reloader runs one worker")
    settings = load_settings()
    serving.require(cast(Server, server))
    if trace is not None:
        from perfmw.cli.record import begin

        begin(trace, "100MiB", plain=False)
    loading.hand_down(app, factory=factory)
    _choose_dashboard(settings, cast("DashboardMode | None", dashboard), host)
    plan = serving.Plan(host, port, workers, reload)
    with serving.open_port(plan) as listener:
        if workers > 1 or server != "uvicorn":
            serving.check_elsewhere(app, factory=factory)
        elif not reload:  # the reloader waits for the mistake to be mended
            loading.load(app, factory=factory)
        _announce(base_url(host, listener.getsockname()[1]), as_json=as_json)
        code = serving.SERVERS[cast(Server, server)](plan, listener)
    sys.exit(code)


def _choose_dashboard(settings: Settings, wanted: DashboardMode | None, host: str) -> None:
    """Settle the dashboard's mode and token in the environment, where every worker reads them."""
    from perfmw.cli.listening import is_loopback

    mode = wanted or settings.dashboard
    if wanted is None and settings.origin("dashboard") == "default":
        mode = "loopback" if is_loopback(host) else "token"
    os.environ["PERFMW_DASHBOARD"] = mode
    if mode == "token" and settings.dashboard_token is None:
        os.environ["PERFMW_DASHBOARD_TOKEN"] = secrets.token_urlsafe(24)


def _announce(base: str, *, as_json: bool) -> None:
    settings = Settings.load()
    announce("serving", os.environ["PERFMW_TARGET"], base, _dashboard(settings, base), as_json=as_json)


def _dashboard(settings: Settings, base: str) -> str | None:
    """Its URL, by which whoever starts the server is signed in unless the token is known as a hash alone."""
    if settings.dashboard == "off":
        return None
    if settings.dashboard == "loopback":
        return f"{base}{settings.dashboard_path}/"
    token = settings.dashboard_token or ""
    return f"{base}{settings.dashboard_path}/login{'' if token.startswith('hash:') else f'?token={token}'}"
