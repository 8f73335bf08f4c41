"""``perfmw cache``: what the cache did and what is in it, of a running server or of the layers on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click

from perfmw.cli import cachetables
from perfmw.cli.api import SERVER, TOKEN, Api
from perfmw.cli.config import load_settings
from perfmw.cli.output import Failure, Refusal, confirm, note, print_json
from perfmw.cli.unhurried import layers_of, losses

if TYPE_CHECKING:
    from perfmw.runtime import Runtime

T = TypeVar("T")
_JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")
_REVEAL = click.option("--reveal", is_flag=True, help="Show what is a secret by its name, too.")


class _Group(click.Group):
    """Imports the command that needs most only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, "warm"})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "warm":
            command: click.Command = import_module("perfmw.cli.warm").warm
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Group)
def cache() -> None:
    """See what the cache did and what is in it, purge it and warm it up.

    With --url, the cache of a running perfmw, through its dashboard. Without, the layers that outlive a
    process, such as the one on disk, by the settings of this directory and environment; what processes hold
    in memory is not seen then.
    """


@cache.command()
@SERVER
@TOKEN
@click.option("--most", default=20, show_default=True, type=click.IntRange(1), help="Routes and functions.")
@_JSON
def stats(server: str | None, token: str | None, most: int, as_json: bool) -> None:
    """Show hits, misses, bytes and time saved by layer, namespace, route and function.

    Without --url there is nobody who counts: then it is what each layer on disk holds.
    """
    if server is not None:
        with Api(server, token) as api:
            data = api.get("cache")
        if as_json:
            print_json(data)
        else:
            click.echo(cachetables.statistics(data, most))
        return
    rows = _local(_layer_rows)
    if as_json:
        print_json(rows)
    else:
        click.echo(cachetables.held_table(rows))


@cache.command("ls")
@SERVER
@TOKEN
@click.option("--prefix", default="", help="Only keys, or URLs, that begin so.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 1_000), help="The most to show."
)
@_REVEAL
@_JSON
def list_keys(
    server: str | None, token: str | None, prefix: str, limit: int, reveal: bool, as_json: bool
) -> None:
    """List keys, one a line; in JSON with the layers that hold them."""
    if server is not None:
        with Api(server, token) as api:
            rows = api.get("cache/keys", prefix=prefix, limit=limit, reveal=_word(reveal))["items"]
    else:
        rows = _local(lambda runtime: _entries().list_keys(runtime, prefix, limit, reveal=reveal, heed=True))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(row["key"])
    if len(rows) == limit:
        note(f"there may be more than {limit:,}; see --limit and --prefix")


@cache.command("get")
@click.argument("key")
@SERVER
@TOKEN
@click.option("--value", is_flag=True, help="Show the body's text or the function's result, too.")
@_REVEAL
@_JSON
def get_entry(
    key: str, server: str | None, token: str | None, value: bool, reveal: bool, as_json: bool
) -> None:
    """Show what is kept under KEY, or under a URL. Exit code 1 when that is nothing."""
    if server is not None:
        with Api(server, token) as api:
            found = api.get("cache/entry", key=key, value=_word(value), reveal=_word(reveal))
    else:
        found = _local(lambda runtime: _entries().look(runtime, key, reveal=reveal, value=value, heed=True))
    if found is None:
        raise Failure(f"nothing is kept under {key!r}")
    if as_json:
        print_json(found)
    else:
        click.echo(cachetables.entry(found))


@cache.command()
@SERVER
@TOKEN
@click.option("--key", "keys", multiple=True, help="A key or URL, as `perfmw cache ls` shows it.")
@click.option("--tag", "tags", multiple=True, help="A tag; every process heeds it.")
@click.option("--prefix", help="All keys, or URLs, that begin so.")
@click.option("--page", "url", metavar="URL", help="An absolute URL: every stored response of it.")
@click.option("--route", help="A route by its name, such as 'GET /items/{id}'.")
@click.option("--soft", is_flag=True, help="Make stale instead of removing.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_JSON
def purge(
    server: str | None, token: str | None, dry_run: bool, yes: bool, as_json: bool, soft: bool, **named: Any
) -> None:
    """Remove what is cached by key, tag, prefix, URL or route, or make it stale; tell how much it was.

    Without --url, processes that share a layer forget what they hold in memory a little later, and those
    that share none keep it until it expires.
    """
    wanted = {
        name: list(value) if isinstance(value, tuple) else value for name, value in named.items() if value
    }
    if not wanted:
        raise Refusal("say what to purge: --key, --tag, --prefix, --page or --route")
    body = wanted | {"soft": soft}
    if not (dry_run or yes):
        _confirm(_purged(server, token, {**body, "dry_run": True})["layers"], soft)
    told = _purged(server, token, {**body, "dry_run": dry_run})
    if as_json:
        print_json(told)
        return
    click.echo(str(told["removed"]))
    if dry_run:
        note(f"{_by_layer(told['layers'])}; nothing was touched")
    elif wanted.keys() & {"tags", "route", "prefix"}:
        note("under a tag or route, and beyond memory under a prefix, only --dry-run counts")


def _confirm(counts: dict[str, int | None], soft: bool) -> None:
    told = _by_layer(counts)
    question = f"{'Make stale' if soft else 'Remove'} these entries: {told}?"
    confirm(question, refused=f"entries: {told}; --dry-run only counts")


def _by_layer(counts: dict[str, int | None]) -> str:
    known = {name: count for name, count in counts.items() if count is not None}
    return ", ".join(f"{count:,} in {name}" for name, count in known.items()) or "an unknown number"


def _purged(server: str | None, token: str | None, body: dict[str, Any]) -> dict[str, Any]:
    if server is not None:
        with Api(server, token) as api:
            told: dict[str, Any] = api.post("cache/purge", body)
        return told
    try:
        arguments = _entries().purge_arguments(body)
        return _local(lambda runtime: _remove(runtime, arguments))
    except ValueError as error:
        raise Refusal(str(error)) from None


async def _remove(runtime: Runtime, arguments: dict[str, Any]) -> dict[str, Any]:
    queues = [asyncio.create_task(queue.run()) for queue in runtime.cdn.queues]
    keys = [key for one in arguments["keys"] for key in await _entries().resolve(runtime, one)]
    arguments = {**arguments, "keys": keys}
    try:
        removed = await runtime.invalidate(**arguments)
        await runtime.cdn.flush()
    finally:
        for task in queues:
            task.cancel()
    layers = {name: count for name, count in removed.layers.items() if count is not None}
    return {"removed": int(removed), "layers": layers, "soft": removed.soft, "dry_run": removed.dry_run}


async def _layer_rows(runtime: Runtime) -> list[dict[str, Any]]:
    """The layers beyond memory, those that have a file measured."""
    from perfmw.cache.spaces import layer_name

    rows = []
    for space, cache in runtime.spaces.caches.items():
        for layer in cache.far_layers():
            info = replace(layer.info(), name=layer_name(space, layer.name))
            file = getattr(layer.cache, "file", None)
            if file is not None:
                info.entries, info.bytes = await asyncio.to_thread(file.measure)
            rows.append(asdict(info))
    return rows


def _entries() -> Any:
    return import_module("perfmw.runtime.entries")


def _word(flag: bool) -> str | None:
    return "true" if flag else None


def _local(work: Callable[[Runtime], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` on the layers of these settings."""
    from perfmw.runtime import Runtime
    from perfmw.settings import SettingsError

    settings = load_settings()

    async def run() -> T:
        try:
            runtime = Runtime(settings)
        except SettingsError as error:
            raise Refusal(str(error)) from None
        if runtime.spaces.all_memory:
            raise Refusal(
                "no layer here outlives a process: name one in the setting layers, such as disk, or ask a "
                "running server with --url URL"
            )
        layers = layers_of(runtime)
        try:
            done = await work(runtime)
        finally:
            await runtime.cdn.close()
            await runtime.spaces.close()
        if lost := losses(layers):
            raise Failure("; ".join(lost))
        return done

    return asyncio.run(run())
