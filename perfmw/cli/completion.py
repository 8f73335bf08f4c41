"""``perfmw completion``: what a shell needs to complete perfmw's commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from perfmw.cli.options import JSON
from perfmw.cli.output import Refusal, print_json

_INSTALL = {
    "bash": 'eval "$(perfmw completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(perfmw completion zsh)" in ~/.zshrc, after compinit',
    "fish": "perfmw completion fish > ~/.config/fish/completions/perfmw.fish",
}


@click.command(epilog="  ".join(f"{shell}: {how}." for shell, how in _INSTALL.items()))
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@JSON
def completion(shell: str, as_json: bool) -> None:
    """Write the script by which SHELL completes perfmw's commands, options and their values."""
    kind = get_completion_class(shell)
    if kind is None:
        raise Refusal(f"this version of click knows no completion for {shell}; update click")
    root = click.get_current_context().find_root().command
    script = kind(root, {}, "perfmw", "_PERFMW_COMPLETE").source()
    if as_json:
        print_json({"shell": shell, "install": _INSTALL[shell], "script": script})
    else:
        click.echo(script)
