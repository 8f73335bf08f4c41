"""The safety matrix as a table: ``python -m tests.safety.run [NAME=module:wrap ...]``.

``wrap`` takes an ASGI app whose every route may be cached for an hour and returns it wrapped, so that other
caches can be compared. Without an argument only perfmw is asked.
"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module

from perfmw import CacheRule, PerfMiddleware, Settings
from tests.safety.rows import ROWS
from tests.safety.site import Site
from tests.safety.ways import WAYS, Wrap


def perfmw(app: object) -> PerfMiddleware:
    """The site with a rule of an hour on every route."""
    return PerfMiddleware(app, settings=Settings.load(env={}, cache_rules=[CacheRule(path="/**", ttl=3600)]))  # type: ignore[arg-type]


async def check(title: str, way: str, wrap: Wrap = perfmw) -> str:
    """What went wrong in one row, or an empty text."""
    async with WAYS[way](wrap(Site())) as ask:
        return await ROWS[title](ask)


def main() -> None:
    wraps: dict[str, Wrap] = {"perfmw": perfmw}
    for argument in sys.argv[1:]:
        name, _, where = argument.partition("=")
        module, _, attribute = where.partition(":")
        wraps[name] = getattr(import_module(module), attribute)
    print("| row | " + " | ".join(f"{name}, {way}" for name in wraps for way in WAYS) + " |")
    print("|---" * (1 + len(wraps) * len(WAYS)) + "|")
    for title in ROWS:
        cells = [asyncio.run(_cell(title, way, wrap)) for wrap in wraps.values() for way in WAYS]
        print(f"| {title} | " + " | ".join(cells) + " |")


async def _cell(title: str, way: str, wrap: Wrap) -> str:
    try:
        return await asyncio.wait_for(check(title, way, wrap), 20) or "holds"
    except Exception as error:
        return f"fails: {type(error).__name__}"


if __name__ == "__main__":
    main()
