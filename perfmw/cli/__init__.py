"""The command line: ``perfmw …``, one file a command, each imported only when it runs.

Exit codes: 0 all is well; 1 the command ran and found a failure; 2 it could not do what was asked (wrong
usage, a target, file, port or setting that does not fit). Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line with ``sys.argv`` and exit with its code."""
    from perfmw.cli.group import cli

    cli(prog_name="perfmw")
