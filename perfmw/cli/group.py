"""The ``perfmw`` command: a group that knows its commands by name and imports one only to run it."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "alerts": ("perfmw.cli.alerts:alerts", "See what is wrong and who was told; silence, resolve, annotate."),
    "bench": ("perfmw.cli.bench:bench", "Measure an app with and without perfmw, in turns."),
    "cache": ("perfmw.cli.cache:cache", "See what the cache did and what is in it; purge it, warm it up."),
    "completion": ("perfmw.cli.completion:completion", "Write a shell's completion script."),
    "config": ("perfmw.cli.config:config", "Show the settings in force and where each came from."),
    "demo": ("perfmw.cli.demo:demo", "Run a sample shop under traffic, optimize it, show before and after."),
    "doctor": ("perfmw.cli.doctor:doctor", "Find what is misconfigured, and say how to mend it."),
    "explain": ("perfmw.cli.explain:explain", "Say whether a URL's response would be cached, and why."),
    "export": ("perfmw.cli.export:export", "Write dashboards, metrics and profiles for other tools."),
    "init": ("perfmw.cli.init:init", "Write a settings file, and find the app to put perfmw into."),
    "optimize": (
        "perfmw.cli.optimize:optimize",
        "See what could be faster, try it, and undo what was changed.",
    ),
    "plugins": ("perfmw.cli.plugins:plugins", "Show the plugins that are installed and what they add."),
    "profiles": (
        "perfmw.cli.profiles:profiles",
        "See what each target takes; set its target, compare, carry it elsewhere.",
    ),
    "proxy": ("perfmw.cli.proxy:proxy", "Serve a caching reverse proxy in front of an HTTP origin."),
    "record": ("perfmw.cli.record:record", "Serve an app or origin, and record which keys are asked for."),
    "replay": ("perfmw.cli.replay:replay", "Replay an access log against an app or a URL."),
    "report": ("perfmw.cli.report:report", "Write the performance report of a running perfmw."),
    "run": ("perfmw.cli.run:run", "Serve any ASGI app wrapped, without changing its code."),
    "simulate": (
        "perfmw.cli.simulate:simulate",
        "Try eviction policies and cache sizes on a recorded trace.",
    ),
    "top": ("perfmw.cli.top:top", "Watch routes, caches, pools and alerts of a running perfmw."),
}


def built_in() -> list[str]:
    """The names of the commands that perfmw itself has."""
    return sorted(_COMMANDS)


class LazyGroup(click.Group):
    """Lists its commands from a table, and asks plugins for more only when a name is not in it.

    Loading plugins means importing every package that has one: half a second that ``--help`` and the
    built-in commands should not pay. So the list shows the built-in commands and says where the rest is.
    """

    _plugins_asked = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_COMMANDS, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            return _load(_COMMANDS[cmd_name][0])
        if cmd_name not in self.commands and not self._plugins_asked:
            self._plugins_asked = True
            self._ask_plugins()
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not close or "Did you mean" in error.message:
                raise
            raise click.UsageError(f"{error.message} Did you mean {close[0]!r}?", ctx) from None

    def _ask_plugins(self) -> None:
        from perfmw.cli.plugins import register_commands

        register_commands(self)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, _COMMANDS[name][1]) for name in sorted(_COMMANDS)]
        rows += [(name, self.commands[name].get_short_help_str()) for name in sorted(self.commands)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _load(where: str) -> click.Command:
    module, _, attribute = where.partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from perfmw import __version__

        click.echo(f"perfmw {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Plugins may add commands: `perfmw plugins list` names them. "
    "Exit codes: 0 ok, 1 a failure was found, 2 wrong usage or bad input, 130 interrupted.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version.",
)
def cli() -> None:
    """The performance and caching layer for ASGI apps."""
