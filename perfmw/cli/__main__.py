"""``python -m perfmw.cli``: the same as the ``perfmw`` command."""

from perfmw.cli import main

main()
