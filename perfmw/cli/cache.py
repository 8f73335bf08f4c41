"""``perfmw cache``: look into the layers that outlive a process, and purge them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from perfmw.cli.config import load_settings
from perfmw.cli.output import Failure, Refusal, note, print_json, table
from perfmw.settings import Settings

if TYPE_CHECKING:
    from perfmw.cache import TieredCache

T = TypeVar("T")


@click.group()
def cache() -> None:
    """Look into the cache layers that outlive a process, such as the disk's, and purge them.

    The settings of this directory and environment say which; memory is each process's own and is not seen
    from here: the dashboard shows it.
    """


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")
def stats(as_json: bool) -> None:
    """Show each layer: its kind, how many entries and bytes it has, and its bound."""
    settings = _settings()
    rows = [_row(settings, name) for name in settings.layers if name != "memory"]
    if as_json:
        print_json(rows)
        return
    cells = [[str("-" if value is None else value) for value in row.values()] for row in rows]
    click.echo(table(("layer", "entries", "bytes", "max_bytes"), cells, right=frozenset({1, 2, 3})))


@cache.command("ls")
@click.option("--prefix", default="", help="Only keys that begin so.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="The most to show.")
def list_keys(prefix: str, limit: int) -> None:
    """List keys of the disk layer, one a line."""
    from perfmw.cache.layers import TAG_PREFIX

    keys = [key for key in _disk(_settings()).keys(prefix, limit) if not key.startswith(TAG_PREFIX)]
    for key in sorted(keys):
        click.echo(key)


@cache.command("get")
@click.argument("key")
def get_entry(key: str) -> None:
    """Show the entry of KEY: when it was stored and expires, its tags, its value. Exit code 1 without one."""

    async def look(tiered: TieredCache) -> Any:
        return await tiered.get_entry(key)

    entry = _with_cache(look)
    if entry is None:
        raise Failure(f"no entry for {key!r}")
    data = asdict(entry)
    data["value"] = repr(entry.value)
    print_json(data)


@cache.command()
@click.option("--key", "keys", multiple=True, help="A key, as `perfmw cache ls` shows it.")
@click.option("--tag", "tags", multiple=True, help="A tag; processes that run heed it too.")
@click.option("--prefix", help="Every key of the disk layer that begins so.")
@click.option("--dry-run", is_flag=True, help="Only count what a key or a prefix would remove.")
def purge(keys: tuple[str, ...], tags: tuple[str, ...], prefix: str | None, dry_run: bool) -> None:
    """Remove entries by key, tag or prefix.

    What processes hold in memory under a key or a prefix stays until it expires there; a tag's entries go
    there too, as soon as they are next read from a layer behind memory.
    """
    if not keys and not tags and prefix is None:
        raise Refusal("say what to purge: --key, --tag or --prefix")
    settings = _settings()
    found = set(keys)
    if prefix is not None:
        found.update(_disk(settings).keys(prefix, 10**9))
    if dry_run:
        click.echo(str(len(found)))
        return

    async def remove(tiered: TieredCache) -> int:
        return await tiered.invalidate(keys=sorted(found), tags=tags)

    click.echo(str(_with_cache(remove)))
    if tags:
        note("entries under a tag go when they are next asked for, and are not counted")


def _settings() -> Settings:
    settings = load_settings()
    if all(name == "memory" for name in settings.layers):
        raise Refusal("no layer here outlives a process; name one in the setting layers, such as disk")
    return settings


def _disk(settings: Settings) -> Any:
    from perfmw.cache import DiskLayer

    if "disk" not in settings.layers:
        raise Refusal("keys can be listed of the disk layer alone, which is not among the layers here")
    return DiskLayer(settings.cache_file, max_bytes=settings.disk_max_bytes).file


def _row(settings: Settings, name: str) -> dict[str, Any]:
    if name != "disk":
        return {"layer": name, "entries": None, "bytes": None, "max_bytes": None}
    entries, used = _disk(settings).measure()
    return {"layer": name, "entries": entries, "bytes": used, "max_bytes": settings.disk_max_bytes}


def _with_cache(work: Callable[[TieredCache], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` on the layers of these settings without memory, which is this command's own."""
    settings = _settings()

    async def run() -> T:
        from perfmw.runtime import Runtime

        far = settings.replace(layers=[name for name in settings.layers if name != "memory"])
        tiered = Runtime(far).cache
        try:
            return await work(tiered)
        finally:
            await tiered.close()

    return asyncio.run(run())
