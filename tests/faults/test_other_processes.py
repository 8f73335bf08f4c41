"""What one process invalidates, another with memory of its own does not serve."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from perfmw import Runtime, Settings

pytestmark = pytest.mark.anyio

OTHER = """
import asyncio, sys
from perfmw import Runtime, Settings

async def main():
    runtime = Runtime(Settings.load(env={}, plugins=[], cache_strategy="hybrid", disk_path=sys.argv[1],
                                    layer_deadline=10, sync_interval=0.05))
    await runtime.start()
    loop = asyncio.get_running_loop()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        command, key = line
        if command == "memory":  # what it would serve without asking anybody
            entry = runtime.cache.get_nowait(key)
        else:
            entry = await runtime.cache.get_entry(key)
        print(None if entry is None else entry.value, flush=True)
    await runtime.stop()

asyncio.run(main())
"""


class Process:
    """Another process on the same disk."""

    def __init__(self, process: Any) -> None:
        self._process = process

    @classmethod
    async def start(cls, path: Path) -> Process:
        arguments = (sys.executable, "-c", OTHER, str(path))
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*arguments, stdin=pipe, stdout=pipe))

    async def ask(self, command: str, key: str) -> str:
        self._process.stdin.write(f"{command} {key}\n".encode())
        await self._process.stdin.drain()
        answer: bytes = await self._process.stdout.readline()
        return answer.decode().strip()

    async def forgets(self, key: str) -> bool:
        """Whether it stops serving ``key`` from memory before long."""
        for _ in range(400):
            if await self.ask("memory", key) == "None":
                return True
            await asyncio.sleep(0.025)
        return False

    async def end(self) -> int:
        self._process.stdin.close()
        code: int = await self._process.wait()
        self._process._transport.close()
        return code


@pytest.mark.parametrize(
    "what",
    [
        {"prefix": "shop:"},
        {"keys": ["shop:1", "shop:2"]},
        {"tags": ["shop"]},
        {"tags": ["shop"], "soft": True},
    ],
    ids=["prefix", "keys", "tags", "soft"],
)
async def test_a_purge_on_disk_holds_in_another_process(tmp_path: Path, what: dict[str, Any]) -> None:
    path = tmp_path / "c.db"
    settings = Settings.load(
        env={}, plugins=[], cache_strategy="hybrid", disk_path=str(path), layer_deadline=10
    )
    mine, other = Runtime(settings), await Process.start(path)
    for key in ("shop:1", "shop:2", "blog:1"):
        await mine.cache.put(key, key, ttl=600, tags=[key.partition(":")[0]])
    assert await other.ask("read", "shop:1") == "shop:1"
    assert await other.ask("read", "blog:1") == "blog:1"
    assert await other.ask("memory", "shop:1") == "shop:1"
    await mine.invalidate(**what)
    assert await other.ask("read", "shop:2") == "None", "what it did not hold in memory, at once"
    assert await other.forgets("shop:1")
    assert await other.ask("read", "shop:1") == "None"
    assert await other.ask("memory", "blog:1") == "blog:1"
    await mine.cache.put("shop:1", "new", ttl=600, tags=["shop"])
    assert await other.ask("read", "shop:1") == "new"
    assert await other.end() == 0
    await mine.spaces.close()
