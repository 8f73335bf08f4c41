"""``perfmw report``: the performance report of a running perfmw, as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from perfmw.cli.api import TOKEN, Api
from perfmw.cli.output import Failure, Refusal

Form = Literal["html", "md", "json"]
DEFAULT_SERVER = "http://127.0.0.1:8000/_perfmw"


@click.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; default: stdout."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md", "json"]),
    help="Default: by the file's name, else md.",
)
@click.option(
    "--server",
    metavar="URL",
    envvar="PERFMW_SERVER",
    default=DEFAULT_SERVER,
    show_default=True,
    help="The dashboard of a running perfmw.",
)
@TOKEN
def report(output: Path | None, form: Form | None, server: str, token: str | None) -> None:
    """Write the performance report of a running perfmw.

    HTML is one file with charts that needs no other and prints well; Markdown and JSON are for other tools.
    """
    chosen = form or _form_of(output)
    with Api(server, token) as api:
        if chosen == "html":
            _write(api.read("/report?download=1", "text/html"), output)
            return
        data = api.read("/api/v1/report", "application/json")
    if chosen == "json":
        _write(data + b"\n", output)
        return
    from perfmw.dashboard.report_files import markdown

    try:
        text = markdown(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Failure(f"{server} is no dashboard of perfmw") from None
    _write(text.encode(), output)


def _form_of(output: Path | None) -> Form:
    if output is None:
        return "md"
    found: dict[str, Form] = {".html": "html", ".htm": "html", ".md": "md", ".json": "json"}
    if output.suffix.lower() not in found:
        raise Refusal(f"{output} is neither .html, .md nor .json; say which with --format")
    return found[output.suffix.lower()]


def _write(data: bytes, output: Path | None) -> None:
    if output is None:
        click.echo(data, nl=False)
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise Refusal(f"{output} cannot be written: {error.strerror or error}") from None
