"""Options that several commands have, written once; and what a server says of itself when it listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from perfmw.cli.output import note, print_json
from perfmw.settings import parse_duration


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A duration such as 200ms, 90, 30m or 2h; seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_duration(value)
        except ValueError:
            self.fail(f"{value!r} is no duration, such as 200ms, 90, 30m, 2h or 1d", param, ctx)


DURATION = Duration()
_Command = TypeVar("_Command", bound=Callable[..., Any])

JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")
YES = click.option("--yes", is_flag=True, help="Do not ask.")
HOST = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
WORKERS = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Server processes, for an app.",
)
SERVER = click.option(
    "--server",
    type=click.Choice(["uvicorn", "granian", "hypercorn"]),
    default="uvicorn",
    show_default=True,
    help="The ASGI server, for an app.",
)
FACTORY = click.option("--factory", is_flag=True, help="APP is a callable that makes the app.")
ANNOUNCED = click.option(
    "--json", "as_json", is_flag=True, help="Write where it listens to stdout, as one line of JSON."
)


def port(default: int) -> Callable[[_Command], _Command]:
    """``--port``, of which 0 is any that is free."""
    return click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=default,
        show_default=True,
        help="0: any free one.",
    )


def base_url(host: str, port: int) -> str:
    """By which URL this machine reaches a server that listens on ``host``."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared, not bound
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


def announce(what: str, serves: str, url: str, dashboard: str | None, *, as_json: bool) -> None:
    """Tell where a server listens and where its dashboard is, None where nobody sees one."""
    if as_json:
        print_json({"serves": serves, "url": url, "dashboard": dashboard}, lines=True)
        return
    note(f"perfmw: {what} {serves} on {url}")
    if dashboard is not None:
        note(f"perfmw: dashboard {dashboard}")
