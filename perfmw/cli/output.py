"""What every command shares: data to stdout, everything else to stderr, errors with an exit code."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

FAILURE_FOUND = 1
BAD_INPUT = 2


class Refusal(click.ClickException):
    """The command cannot do what was asked; the message says why and what to do instead."""

    exit_code = BAD_INPUT


class Failure(click.ClickException):
    """The command did what was asked, and found a failure."""

    exit_code = FAILURE_FOUND


def note(message: str) -> None:
    """Tell the user something that is not data."""
    click.echo(message, err=True)


def print_json(data: Any, *, lines: bool = False) -> None:
    """To stdout, in one line where more may follow, and at once."""
    click.echo(json.dumps(data, indent=None if lines else 2, sort_keys=False, ensure_ascii=False))


def tell(data: Any, text: str, as_json: bool) -> None:
    """What came of a command: ``data`` as JSON where that is wanted, else ``text``."""
    if as_json:
        print_json(data)
    else:
        click.echo(text)


def confirm(question: str, *, refused: str) -> None:
    """Ask before what cannot be undone, where somebody is there to answer.

    :raises Refusal: nobody is; the message begins with ``refused``, which says what it is about.
    :raises Failure: the answer is no.
    """
    if not sys.stdin.isatty():
        raise Refusal(f"{refused}; say --yes to do it without being asked")
    if not click.confirm(question, err=True):
        raise Failure("nothing was done")


OUTPUT = click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; default: stdout."
)


def write(data: bytes, output: Path | None, *, told: bool = False) -> None:
    """To the file that ``OUTPUT`` named, which is told on stdout as JSON if so wanted, or to stdout."""
    if output is None:
        click.echo(data, nl=False)
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise Refusal(f"{output} cannot be written: {error.strerror or error}") from None
    if told:
        print_json({"file": str(output), "bytes": len(data)})


def printable(text: str) -> str:
    """``text`` in one line, without what would steer the terminal: names and URLs are other people's text."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in text)


def when(at: float) -> str:
    """Unix seconds as a date and time, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: frozenset[int] = frozenset(),
    room: int | None = None,
) -> str:
    """Columns of plain text, aligned; ``right`` names the columns aligned to the right.

    :param room: the width of a line, default: the terminal's, without end where there is none. What is wider
        becomes several tables below each other, each with the first column.
    """
    everything = [list(head), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in everything) for column in range(len(head))]

    def line(row: list[str], shown: list[int]) -> str:
        cells = (
            row[column].rjust(widths[column]) if column in right else row[column].ljust(widths[column])
            for column in shown
        )
        return "  ".join(cells).rstrip()

    parts = _parts(widths, _room() if room is None else room)
    return "\n\n".join("\n".join(line(row, shown) for row in everything) for shown in parts)


def _room() -> int:
    """The columns of the terminal that stdout is; no bound where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


def _parts(widths: Sequence[int], room: int) -> list[list[int]]:
    """The columns of each of the tables that are narrow enough."""
    parts, used = [[0]], widths[0]
    for column, width in enumerate(widths[1:], 1):
        if used + 2 + width > room and len(parts[-1]) > 1:
            parts.append([0])
            used = widths[0]
        parts[-1].append(column)
        used += 2 + width
    return parts
