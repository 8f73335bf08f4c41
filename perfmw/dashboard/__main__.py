"""``python -m perfmw.dashboard`` makes a token, and the hash of it for the settings."""

from __future__ import annotations

import secrets
import sys

from perfmw.dashboard.tokens import hash_token


def main(arguments: list[str]) -> int:
    """Of a token that is given on standard input with ``-``, else of a new one, which it prints too."""
    if arguments not in ([], ["-"]):
        sys.stderr.write("usage: python -m perfmw.dashboard [-]\n")
        return 2
    token = sys.stdin.readline().rstrip("\n") if arguments else secrets.token_urlsafe(24)
    if not arguments:
        sys.stdout.write(f"token           {token}\n")
    sys.stdout.write(f"dashboard_token {hash_token(token)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
