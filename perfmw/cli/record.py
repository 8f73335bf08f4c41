"""``perfmw record``: serve an app or an origin, and record which keys are asked for."""

from __future__ import annotations

import os
from pathlib import Path

import click

from perfmw.cli.options import ANNOUNCED, FACTORY, HOST, SERVER, WORKERS, port
from perfmw.cli.output import Refusal, note


@click.command()
@click.argument("target", metavar="APP|URL")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("perfmw-trace.txt"),
    show_default=True,
    help="The file, which must not be there yet.",
)
@click.option("--max-size", default="100MiB", show_default=True, help="Where the recording ends.")
@click.option("--plain", is_flag=True, help="Write URLs in clear (queries stay hashed).")
@HOST
@port(8000)
@WORKERS
@SERVER
@FACTORY
@ANNOUNCED
def record(
    target: str,
    output: Path,
    max_size: str,
    plain: bool,
    host: str,
    port: int,
    workers: int,
    server: str,
    factory: bool,
    as_json: bool,
) -> None:
    """Serve APP (module:attribute) or the origin at URL, and record which keys are asked for.

    A line is written for each GET that the cache answered or stored: key, bytes, seconds it took to make,
    unix time. Keys are hashed with a key that is thrown away, so the file tells no URL and no visitor.
    `perfmw simulate FILE` says what other policies and sizes would have done; Ctrl-C ends the recording.
    """
    context = click.get_current_context()
    if "://" in target and (server != "uvicorn" or workers > 1 or factory):
        raise Refusal("--server, --workers and --factory are for an app, not for an origin")
    begin(output, max_size, plain=plain)
    if "://" in target:
        from perfmw.cli.proxy import proxy

        context.invoke(proxy, origin=target, host=host, port=port, as_json=as_json)
    else:
        from perfmw.cli.run import run

        served = {"workers": workers, "server": server, "factory": factory, "as_json": as_json}
        context.invoke(run, app=target, host=host, port=port, **served)


def begin(output: Path, max_size: str, *, plain: bool) -> None:
    """Settle in the environment that servers started from here record to ``output``.

    :raises Refusal: the size is none, or the file is there already or cannot be written.
    """
    from perfmw.cli.recording import prepare
    from perfmw.settings.kinds import parse_size

    try:
        os.environ.update(prepare(output, parse_size(max_size), plain=plain))
    except FileExistsError:
        raise Refusal(f"{output} is there already; name another file with --output") from None
    except OSError as error:
        raise Refusal(f"{output} cannot be written: {error.strerror}") from None
    except ValueError:
        raise Refusal(f'--max-size: {max_size!r} is no size such as "100MiB"') from None
    note(f"perfmw: recording to {output}, at most {max_size}")
