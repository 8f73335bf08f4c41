"""``perfmw export``: dashboards, metrics and profiles for other tools."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Literal

import click

from perfmw.cli.api import LOCAL_SERVER, TOKEN, Api
from perfmw.cli.output import OUTPUT, Failure, Refusal, write

_TOLD = click.option(
    "--json", "as_json", is_flag=True, help="What is written is JSON anyway; of a file, tell name and size."
)
_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@click.group()
def export() -> None:
    """Write dashboards, metrics and profiles for other tools."""


@export.command()
@click.option(
    "--histograms", "durations", flag_value="histograms", help="For a perfmw with prometheus_histograms."
)
@click.option("--native", "durations", flag_value="native", help="For one with prometheus_native.")
@OUTPUT
@_TOLD
def grafana(durations: Literal["histograms", "native"] | None, output: Path | None, as_json: bool) -> None:
    """Write a Grafana dashboard for the metrics that Prometheus scrapes from perfmw."""
    from perfmw.exporters.grafana import dashboard

    write(json.dumps(dashboard(durations or "quantiles"), indent=2).encode() + b"\n", output, told=as_json)


@export.command()
@LOCAL_SERVER
@TOKEN
@OUTPUT
@click.option("--json", "as_json", is_flag=True, help="A list of samples: name, labels and value.")
def prometheus(server: str, token: str | None, output: Path | None, as_json: bool) -> None:
    """Write the metrics of a running perfmw in Prometheus' text format."""
    text = _fetch(server, "/metrics", "text/plain", token)
    write(json.dumps(_samples(text.decode()), indent=2).encode() + b"\n" if as_json else text, output)


def _samples(text: str) -> list[dict[str, Any]]:
    """What Prometheus' text format says, without its comments; what is no number is None."""
    found = [_SAMPLE.match(line) for line in text.splitlines() if not line.startswith("#")]
    return [
        {"name": one[1], "labels": dict(_LABEL.findall(one[2] or "")), "value": _number(one[3])}
        for one in found
        if one is not None
    ]


def _number(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


@export.command("json")
@LOCAL_SERVER
@TOKEN
@OUTPUT
@_TOLD
def profiles_now(server: str, token: str | None, output: Path | None, as_json: bool) -> None:
    """Write the profiles of a running perfmw as JSON."""
    data = _fetch(server, "/api/v1/profiles?limit=1000", "application/json", token)
    write(data + b"\n", output, told=as_json)


@export.command()
@click.argument("state_dir", type=click.Path(path_type=Path, file_okay=False, exists=True))
@OUTPUT
@_TOLD
def profiles(state_dir: Path, output: Path | None, as_json: bool) -> None:
    """Write the profiles kept in STATE_DIR, with all they counted, as JSON that can be imported elsewhere."""
    import asyncio

    from perfmw.profiles.meeting import FILE

    if not (state_dir / FILE).exists():
        raise Refusal(f"{state_dir} holds no profiles ({FILE})")
    write(asyncio.run(_kept(state_dir / FILE)) + b"\n", output, told=as_json)


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
