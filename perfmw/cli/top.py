"""``perfmw top``: routes, caches, pools and alerts of a running perfmw, live."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from perfmw.cli.api import LOCAL_SERVER, TOKEN, Api
from perfmw.cli.looking import (
    CACHE_HEAD,
    POOL_HEAD,
    ROUTE_HEAD,
    SORTS,
    Look,
    Rows,
    alert_lines,
    as_text,
    cache_rows,
    head_line,
    look,
    pool_rows,
    route_rows,
)
from perfmw.cli.output import Failure, Refusal, print_json, printable

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

_FEWEST_ROUTES = 3
_LEGIBLE_NAME = 16
"""Characters of a name that are shown before a column beside it is left out."""
_GAP = 2
_FIXED_LINES = 9
"""Lines that are neither rows nor alerts: the head, the tables' heads and gaps, the foot."""


@click.command()
@LOCAL_SERVER
@TOKEN
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--sort", type=click.Choice(list(SORTS)), default="total", show_default=True, help="Order.")
@click.option(
    "--most",
    type=click.IntRange(1, 1000),
    help="Routes shown. Default: 20, or what has room.",
)
@click.option("--once", is_flag=True, help="Look once, print and end.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout: a document, or one a line.")
def top(
    server: str, token: str | None, interval: float, sort: str, most: int | None, once: bool, as_json: bool
) -> None:
    """Watch a running perfmw: routes, caches, pools and alerts.

    In a terminal, q ends, s orders by the next column, p pauses. Elsewhere, and with --json, every look is
    written out. Exit code 1 if the server does not answer.
    """
    with Api(server, token) as api, suppress(KeyboardInterrupt):  # which is how one stops watching
        seen = look(api)  # what is wrong with the server's URL or token is said before the screen is cleared
        if once:
            _write(seen, sort, most, as_json=as_json, once=True)
        elif as_json or not sys.stdout.isatty():
            _stream(api, seen, interval, sort, most, as_json=as_json)
        else:
            _live(api, seen, interval, sort, most)


def _write(seen: Look, sort: str, most: int | None, *, as_json: bool, once: bool = False) -> None:
    if as_json and once:
        print_json(seen.as_data())
    elif as_json:
        click.echo(json.dumps(seen.as_data(), ensure_ascii=False))
    else:
        click.echo(as_text(seen, sort, most or 20) + ("" if once else "\n"))
    sys.stdout.flush()


def _stream(api: Api, seen: Look, interval: float, sort: str, most: int | None, *, as_json: bool) -> None:
    while True:
        _write(seen, sort, most, as_json=as_json)
        time.sleep(interval)
        seen = look(api)


def _live(api: Api, seen: Look, interval: float, sort: str, most: int | None) -> None:
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError:
        raise Refusal("rich is not installed; install it with: pip install rich, or say --once") from None
    from perfmw.cli.keys import pressed

    console = Console()
    screen = _Screen(console, sort, most)
    with pressed() as ask, Live(console=console, screen=True, auto_refresh=False) as live:
        due = time.monotonic() + interval
        while True:
            live.update(screen.of(seen), refresh=True)
            key = ask(max(0.0, due - time.monotonic()))
            if key in ("q", "Q", "\x1b", "\x03"):
                return
            screen.press(key)
            if not key and time.monotonic() >= due:
                due = time.monotonic() + interval
                seen = seen if screen.paused else screen.next(api, seen)


class _Screen:
    """What is on the screen: the order, whether it stands still, and what is wrong."""

    def __init__(self, console: Console, sort: str, most: int | None) -> None:
        self._console = console
        self._sort = sort
        self._most = most
        self.paused = False
        self._wrong = ""

    def press(self, key: str) -> None:
        if key == "s":
            names = list(SORTS)
            self._sort = names[(names.index(self._sort) + 1) % len(names)]
        elif key == "p":
            self.paused = not self.paused

    def next(self, api: Api, before: Look) -> Look:
        """Another look; the one before, and a word about it, while the server does not answer."""
        try:
            seen = look(api)
        except (Failure, Refusal) as error:
            self._wrong = f"{error.message} – trying again"
            return before
        self._wrong = ""
        return seen

    def of(self, seen: Look) -> Group:
        from rich.console import Group
        from rich.text import Text

        alerts = alert_lines(seen)[:5]
        caches, pools = cache_rows(seen), pool_rows(seen)
        room = self._console.height - _FIXED_LINES - len(alerts) - len(caches) - len(pools)
        rows = route_rows(seen, self._sort, self._most or max(_FEWEST_ROUTES, room))
        state = "paused" if self.paused else time.strftime("%H:%M:%S", time.localtime(seen.at))
        foot = (
            f"{state} · by {self._sort} · {len(rows)} of {seen.total_routes} routes · q quit, s sort, p pause"
        )
        return Group(
            Text(head_line(seen), style="bold"),
            *(
                _grid(head, of_it, self._console.width)
                for head, of_it in ((ROUTE_HEAD, rows), (CACHE_HEAD, caches), (POOL_HEAD, pools))
            ),
            *(Text(f"! {printable(line)}", style="red") for line in alerts),
            Text(self._wrong or foot, style="red" if self._wrong else "dim"),
        )


def _grid(head: tuple[str, ...], rows: Rows, width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, header_style="bold", padding=(0, _GAP, 0, 0), expand=False)
    shown = columns_that_fit(head, rows, width)
    for place, title in enumerate(head[:shown]):
        options: dict[str, Any] = {"justify": "right"} if place else {"overflow": "ellipsis"}
        made.add_column(title, no_wrap=True, **options)
    for row in rows:
        made.add_row(*(Text(printable(cell)) for cell in row[:shown]))  # other people's names: no markup
    return made


def columns_that_fit(head: tuple[str, ...], rows: Rows, width: int) -> int:
    """How many of a table's columns stand whole beside a legible name in ``width`` characters."""
    left = width - _LEGIBLE_NAME - _GAP
    for place, title in enumerate(head[1:], 1):
        left -= max([len(title), *(len(row[place]) for row in rows)]) + _GAP
        if left < 0:
            return place
    return len(head)
