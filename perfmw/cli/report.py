"""``perfmw report``: the performance report of a running perfmw, as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from perfmw.cli.api import LOCAL_SERVER, TOKEN, Api
from perfmw.cli.output import OUTPUT, Failure, Refusal, write

Form = Literal["html", "md", "json"]


@click.command()
@OUTPUT
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md", "json"]),
    help="Default: by the file's name, else md.",
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@LOCAL_SERVER
@TOKEN
def report(output: Path | None, form: Form | None, server: str, token: str | None) -> None:
    """Write the performance report of a running perfmw.

    HTML is one file with charts that needs no other and prints well; Markdown and JSON are for other tools.
    """
    chosen = form or _form_of(output)
    with Api(server, token) as api:
        if chosen == "html":
            write(api.read("/report?download=1", "text/html"), output)
            return
        data = api.read("/api/v1/report", "application/json")
    if chosen == "json":
        write(data + b"\n", output)
        return
    from perfmw.dashboard.report_files import markdown

    try:
        text = markdown(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Failure(f"{server} is no dashboard of perfmw") from None
    write(text.encode(), output)


def _form_of(output: Path | None) -> Form:
    if output is None:
        return "md"
    found: dict[str, Form] = {".html": "html", ".htm": "html", ".md": "md", ".json": "json"}
    if output.suffix.lower() not in found:
        raise Refusal(f"{output} is neither .html, .md nor .json; say which with --format")
    return found[output.suffix.lower()]
