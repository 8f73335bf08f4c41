"""``perfmw init``: a settings file with every setting in it, and the lines that put perfmw into the app."""

from __future__ import annotations

import json
import tempfile
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from perfmw.cli.output import Refusal, note, print_json

if TYPE_CHECKING:
    from perfmw.cli.guessing import Guess

_WIDTH = 100
_HEAD = """\
# Settings of perfmw. Every line is as if it were not there: take the "# " before a setting away to change it.
# PERFMW_* variables and keywords in code go before this file: `perfmw config show --origin` tells what holds.

# A cache rule gives a lifetime to pages that state none themselves:
#
# [[cache_rules]]
# path = "/items/*"
# ttl = "1m"
"""


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("perfmw.toml"),
    show_default=True,
    help="The file; perfmw reads perfmw.toml of its working directory.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Write what was found and made to stdout as JSON.")
def init(output: Path, force: bool, as_json: bool) -> None:
    """Write a settings file with every setting, its meaning and default, and find the app.

    Nothing is asked, nothing else is changed: the lines to add to the app are printed.
    """
    from perfmw.cli.guessing import guesses

    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(settings_file())
    except FileExistsError:
        raise Refusal(f"{output} is there already; --force writes over it") from None
    except OSError as error:
        raise Refusal(f"{output} cannot be written: {error.strerror}") from None
    found = guesses(Path())
    note(f"wrote {output}")
    if as_json:
        apps = [{**asdict(guess), "lines": guess.lines} for guess in found]
        print_json({"file": str(output), "apps": apps})
    else:
        click.echo(_as_text(found))


def _as_text(found: list[Guess]) -> str:
    if not found:
        return textwrap.dedent("""\
            No app was found here. Serve one with perfmw, without changing it:

                perfmw run module:app

            or put perfmw around it:

                from perfmw import PerfMiddleware
                app = PerfMiddleware(app)""")
    first, *others = found
    factory = " --factory" if first.factory else ""
    parts = [f"Found {_named(first)}. Serve it with perfmw, without changing it:"]
    parts.append(f"    perfmw run {first.target}{factory}")
    if not first.factory:
        parts.append(f"or add to {first.file}:")
        parts.append("\n".join(f"    {line}" for line in first.lines))
    if others:
        parts.append("Also here: " + ", ".join(_named(guess) for guess in others[:5]))
    return "\n\n".join(parts)


def _named(guess: Guess) -> str:
    return f"{guess.target} ({guess.framework}{', a factory' if guess.factory else ''})"


def settings_file() -> str:
    """Every setting as a comment: what it is, what it may be, and its default."""
    from perfmw.settings import Settings
    from perfmw.settings.model import options

    with tempfile.TemporaryDirectory() as empty:
        defaults = Settings.load(env={}, cwd=empty).to_dict(redact=False)
    parts = [_HEAD]
    for name, option in options().items():
        about = option.metadata
        told = [about["doc"], f"Allowed: {about['kind'].allowed}."]
        if about["secret"]:
            told.append(f"A secret: better in the environment, as PERFMW_{name.upper()}.")
        lines = [line for text in told for line in textwrap.wrap(text, _WIDTH)]
        value = "(not set)" if defaults[name] is None else as_toml(defaults[name])
        parts.append("\n".join(f"# {line}" for line in [*lines, f"{name} = {value}"]) + "\n")
    return "\n".join(parts)


def as_toml(value: Any) -> str:
    """A JSON value in TOML, tables in one line; what is None is left out."""
    if isinstance(value, dict):
        items = [f"{_key(name)} = {as_toml(item)}" for name, item in value.items() if item is not None]
        return "{ " + ", ".join(items) + " }" if items else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    plain = name.replace("_", "").replace("-", "")
    return name if plain.isascii() and plain.isalnum() else json.dumps(name)
