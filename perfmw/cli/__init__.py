"""The command line: ``perfmw …``, one file a command, each imported only when it runs.

Exit codes: 0 all is well; 1 the command ran and found a failure; 2 it could not do what was asked (wrong
usage, a target, file, port or setting that does not fit); 130 it was interrupted. Data goes to stdout,
everything else to stderr. Colours only in a terminal, and not where NO_COLOR is set.
"""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line with ``sys.argv`` and exit with its code."""
    sys.exit(_run())


def _run() -> int:
    import click

    from perfmw.cli.group import cli

    try:
        color = False if os.environ.get("NO_COLOR") else None
        code = cli.main(prog_name="perfmw", standalone_mode=False, color=color)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads has seen enough, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0
