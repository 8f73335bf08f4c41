"""``perfmw export``: dashboards, metrics and profiles for other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from perfmw.cli.api import LOCAL_SERVER, TOKEN, Api
from perfmw.cli.output import OUTPUT, Failure, Refusal, write


@click.group()
def export() -> None:
    """Write dashboards, metrics and profiles for other tools."""


@export.command()
@click.option(
    "--histograms", "durations", flag_value="histograms", help="For a perfmw with prometheus_histograms."
)
@click.option("--native", "durations", flag_value="native", help="For one with prometheus_native.")
@OUTPUT
def grafana(durations: Literal["histograms", "native"] | None, output: Path | None) -> None:
    """Write a Grafana dashboard for the metrics that Prometheus scrapes from perfmw."""
    from perfmw.exporters.grafana import dashboard

    write(json.dumps(dashboard(durations or "quantiles"), indent=2).encode() + b"\n", output)


@export.command()
@LOCAL_SERVER
@TOKEN
@OUTPUT
def prometheus(server: str, token: str | None, output: Path | None) -> None:
    """Write the metrics of a running perfmw in Prometheus' text format."""
    write(_fetch(server, "/metrics", "text/plain", token), output)


@export.command("json")
@LOCAL_SERVER
@TOKEN
@OUTPUT
def as_json(server: str, token: str | None, output: Path | None) -> None:
    """Write the profiles of a running perfmw as JSON."""
    write(_fetch(server, "/api/v1/profiles?limit=1000", "application/json", token) + b"\n", output)


@export.command()
@click.argument("state_dir", type=click.Path(path_type=Path, file_okay=False, exists=True))
@OUTPUT
def profiles(state_dir: Path, output: Path | None) -> None:
    """Write the profiles kept in STATE_DIR, with all they counted, as JSON that can be imported elsewhere."""
    import asyncio

    from perfmw.profiles.meeting import FILE

    if not (state_dir / FILE).exists():
        raise Refusal(f"{state_dir} holds no profiles ({FILE})")
    write(asyncio.run(_kept(state_dir / FILE)) + b"\n", output)


async def _kept(path: Path) -> bytes:
    from perfmw.profiles import ProfileStore
    from perfmw.profiles.management import ProfileManager
    from perfmw.profiles.sharing import Sharing

    store = ProfileStore(max_profiles=1_000_000)
    sharing = Sharing(store, path)
    if not await sharing.start():
        raise Failure(f"{path} cannot be read")
    try:
        return ProfileManager(store).export()
    finally:
        await sharing.close()


def _fetch(server: str, path: str, kind: str, token: str | None) -> bytes:
    with Api(server, token) as api:
        return api.read(path, kind)
