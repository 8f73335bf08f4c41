"""``perfmw export``: dashboards, metrics and profiles for other tools."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import click

from perfmw.cli.api import DASHBOARD_PATH
from perfmw.cli.output import Failure, Refusal

_TIMEOUT = 30.0
_DASHBOARD = click.argument(
    "url", envvar="PERFMW_SERVER", default=f"http://127.0.0.1:8000{DASHBOARD_PATH}", required=False
)
_TOKEN = click.option(
    "--token", envvar="PERFMW_DASHBOARD_TOKEN", help="The dashboard's token, if it wants one."
)
_OUTPUT = click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; default: stdout."
)


@click.group()
def export() -> None:
    """Write dashboards, metrics and profiles for other tools."""


@export.command()
@click.option(
    "--histograms", "durations", flag_value="histograms", help="For a perfmw with prometheus_histograms."
)
@click.option("--native", "durations", flag_value="native", help="For one with prometheus_native.")
@_OUTPUT
def grafana(durations: Literal["histograms", "native"] | None, output: Path | None) -> None:
    """Write a Grafana dashboard for the metrics that Prometheus scrapes from perfmw."""
    from perfmw.exporters.grafana import dashboard

    _write(json.dumps(dashboard(durations or "quantiles"), indent=2).encode() + b"\n", output)


@export.command()
@_DASHBOARD
@_TOKEN
@_OUTPUT
def prometheus(url: str, token: str | None, output: Path | None) -> None:
    """Write the metrics of a running perfmw in Prometheus' text format. URL is that of its dashboard."""
    _write(_fetch(url, "/metrics", token), output)


@export.command("json")
@_DASHBOARD
@_TOKEN
@_OUTPUT
def as_json(url: str, token: str | None, output: Path | None) -> None:
    """Write the profiles of a running perfmw as JSON. URL is that of its dashboard."""
    _write(_fetch(url, "/api/v1/profiles?limit=1000", token) + b"\n", output)


@export.command()
@click.argument("state_dir", type=click.Path(path_type=Path, file_okay=False, exists=True))
@_OUTPUT
def profiles(state_dir: Path, output: Path | None) -> None:
    """Write the profiles kept in STATE_DIR, with all they counted, as JSON that can be imported elsewhere."""
    import asyncio

    from perfmw.profiles.meeting import FILE

    if not (state_dir / FILE).exists():
        raise Refusal(f"{state_dir} holds no profiles ({FILE})")
    _write(asyncio.run(_kept(state_dir / FILE)) + b"\n", output)


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


def _fetch(url: str, path: str, token: str | None) -> bytes:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise Refusal(f"{url} is no URL of a dashboard, such as http://127.0.0.1:8000/_perfmw")
    base = url.rstrip("/") if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}{DASHBOARD_PATH}"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(base + path, headers=headers)  # noqa: S310 - http alone, see above
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 - the same
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise Refusal(f"{base} wants its token, as --token or PERFMW_DASHBOARD_TOKEN") from None
        raise Failure(f"{base}{path} answered {error.code} {error.reason}") from None
    except (urllib.error.URLError, OSError) as error:
        cause = getattr(error, "reason", error)
        why = getattr(cause, "strerror", None) or cause
        raise Failure(f"{base} does not answer ({why}); see that the server runs there") from None


def _write(data: bytes, output: Path | None) -> None:
    if output is None:
        click.echo(data, nl=False)
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise Refusal(f"{output} cannot be written: {error.strerror}") from None
