"""What ``perfmw doctor`` tries out: layers beyond memory, files, plugins, versions."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfmw.cli.findings import Finding, error, hint, warning
from perfmw.settings import Settings, SettingsError

if TYPE_CHECKING:
    from perfmw.cache.layers import FarLayer
    from perfmw.plugins import PluginInfo, Plugins
    from perfmw.runtime import Runtime

_PATIENCE = 3.0
"""Seconds that one operation of a backend may take here."""
_PROBE_TTL = 10
SHOWN = (
    "starlette",
    "fastapi",
    "uvicorn",
    "aiocache",
    "opentelemetry-sdk",
    "redis",
    "jinja2",
    "rich",
    "click",
)


def versions() -> dict[str, str]:
    """What is installed, by name, and the Python that runs."""
    found = {"python": sys.version.split()[0]}
    for name in ("perfmw", *SHOWN):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def check_versions() -> Iterator[Finding]:
    """Dependencies that are missing or too old, where ``packaging`` is there to compare versions."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return
    for text in requires("perfmw") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            yield error(
                "version", f"{wanted.name} is not installed", f"Install it: pip install '{wanted.name}'"
            )
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            yield error(
                "version",
                f"{wanted.name} {found} is installed, perfmw needs {wanted.specifier}",
                f"Install another: pip install '{wanted.name}{wanted.specifier}'",
            )


def check_plugins(loaded: Plugins) -> Iterator[Finding]:
    """Plugins that were left out, and why."""
    told: set[str] = set()
    for info in loaded.describe():
        for problem in info.problems:
            told.add(problem)
            yield _left_out(info, problem)
    for one in loaded.problems:
        if one.problem not in told:
            yield error(
                "plugin",
                f"the plugin {one.plugin} was left out: {one.problem}",
                "Install it, correct the setting plugins, or take the name out of it.",
            )


def _left_out(info: PluginInfo, problem: str) -> Finding:
    package = info.distribution or info.name
    return error(
        "plugin",
        f"the plugin {info.name} {'has a problem' if info.active else 'was left out'}: {problem}",
        f"Update {package}, mend it, or leave it out by the setting plugins.",
    )


# ---- files


def check_files(settings: Settings) -> Iterator[Finding]:
    """The places that settings name: can they be written, and by whom else."""
    if settings.state_dir is not None:
        yield from _directory("state_dir", Path(settings.state_dir))
    used = {*settings.layers, *(name for one in settings.namespaces.values() for name in one.layers or ())}
    if "disk" in used:
        yield from _directory("the directory of the disk layer", settings.cache_file.parent)
        yield from _modes(settings.cache_file)
    if settings.snapshot_file is not None:
        yield from _directory("the directory of snapshot_file", Path(settings.snapshot_file).parent)


def _directory(what: str, path: Path) -> Iterator[Finding]:
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    if not there.is_dir():
        yield error("not-writable", f"{what}, {path}: {there} is a file", "Name a directory.")
    elif not os.access(there, os.W_OK | os.X_OK):
        yield error(
            "not-writable",
            f"{what}, {path}, cannot be written by this user",
            f"Name another, or give it to this user: chown {os.getuid()} {there}",
        )
    elif path.exists():
        yield from _modes(path)


def _modes(path: Path) -> Iterator[Finding]:
    """State and cached responses are read as they are: nobody else should be able to write them."""
    if not path.exists() or not hasattr(os, "getuid"):
        return
    found = path.stat()
    private = "700" if path.is_dir() else "600"
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        yield error(
            "file-mode",
            f"everyone on this machine may write {path}, and so put responses into the cache",
            f"chmod {private} {path}",
        )
    elif found.st_mode & (stat.S_IROTH | stat.S_IWGRP) and path.is_file():
        yield warning(
            "file-mode", f"others may read or write {path}, where responses are", f"chmod {private} {path}"
        )


# ---- layers


async def check_layers(settings: Settings) -> list[Finding]:
    """Build the layers as a runtime would, and write, read and delete one value in each beyond memory."""
    from perfmw.runtime import Runtime

    try:
        runtime = Runtime(settings)
    except SettingsError as wrong:
        return [error("settings", str(wrong), "Correct the setting, or install what it names.")]
    try:
        return [found for layer in _far(runtime) for found in await _try(layer)]
    finally:
        await runtime.cdn.close()
        await runtime.spaces.close()


def _far(runtime: Runtime) -> list[FarLayer]:
    return [layer for cache in runtime.spaces.caches.values() for layer in cache.far_layers()]


async def _try(layer: FarLayer) -> list[Finding]:
    key, value = f"perfmw-doctor:{secrets.token_hex(8)}", b"\x00probe"
    cache: Any = layer.cache
    try:
        async with asyncio.timeout(_PATIENCE):
            await cache.set(key, value, ttl=_PROBE_TTL)
            back = await cache.get(key)
            await cache.delete(key)
    except Exception as problem:
        return [_unreachable(layer.name, problem)]
    if back not in (value, value.decode("latin-1")):
        return [
            error(
                "backend",
                f"the layer {layer.name} did not give back what was stored in it",
                "See whether its disk or memory is full, and whether its serializer carries bytes.",
            )
        ]
    return await _redis(layer.name, cache)


def _unreachable(name: str, problem: Exception) -> Finding:
    late = isinstance(problem, TimeoutError)
    told = f"no answer within {_PATIENCE:g} s" if late else f"{problem or type(problem).__name__}"
    fix = "See that the server runs and that redis_url names it" if name == "redis" else "Mend the layer"
    return error(
        "backend",
        f"the layer {name} cannot be used: {told}",
        f"{fix}, or take it out of layers. Until then every request goes without it.",
    )


async def _redis(name: str, cache: Any) -> list[Finding]:
    """A server of Redis' kind that refuses writes when it is full stops taking new entries."""
    client = getattr(cache, "client", None)
    if client is None or not hasattr(client, "info"):
        return []
    try:
        async with asyncio.timeout(_PATIENCE):
            info = await client.info("memory")
    except Exception:  # a server may forbid it
        return [hint("backend", f"the layer {name} does not tell how much memory it has", "Nothing to do.")]
    if info.get("maxmemory") and info.get("maxmemory_policy") == "noeviction":
        return [
            warning(
                "backend",
                f"the server of {name} refuses writes when its memory is full (maxmemory-policy noeviction)",
                "Set maxmemory-policy to allkeys-lru or allkeys-lfu there.",
            )
        ]
    return []
