"""What type checkers see of cached functions: the signatures that were written."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import perfmw

PROGRAM = """
from datetime import timedelta
from typing import reveal_type

from perfmw import cached
from perfmw.cache import cached_many, per_request


@cached(ttl=60, tags=["user:{user_id}"])
async def load(user_id: int, *, deep: bool = False) -> list[str]:
    return []


@cached
def add(a: int, b: int = 0) -> int:
    return a + b


@per_request(exclude=["request"])
async def user(request: object) -> bytes:
    return b""


@cached_many(ttl=timedelta(minutes=1))
async def many(ids: list[int]) -> dict[int, str]:
    return {}


class Shop:
    @cached(ttl=1.5)
    async def price(self, item: int) -> float:
        return 1.0

    @cached
    @staticmethod
    def rate(item: int) -> bool:
        return True

    @cached(ttl=60)
    @classmethod
    async def named(cls, name: str) -> bytes:
        return b""

    @per_request
    @classmethod
    def own(cls, name: str) -> str:
        return name

    @cached_many()
    async def stock(self, ids: list[str]) -> dict[str, int]:
        return {}


async def main() -> None:
    reveal_type(await load(1, deep=True))  # list[str]
    reveal_type(await load.refresh(1))  # list[str]
    reveal_type(await load.invalidate(1))  # int
    reveal_type(load.key(1))  # str
    reveal_type(add(1))  # int
    reveal_type(add.invalidate(1))  # int
    reveal_type(await user(object()))  # bytes
    reveal_type(await many([1]))  # dict[int, str]
    reveal_type(await Shop().price(3))  # float
    reveal_type(Shop.price(Shop(), 3))  # typing.Coroutine[Any, Any, float]
    reveal_type(Shop.rate(1))  # bool
    reveal_type(Shop().rate(1))  # bool
    reveal_type(await Shop.named("a"))  # bytes
    reveal_type(await Shop().named.refresh("a"))  # bytes
    reveal_type(await Shop.named.invalidate("a"))  # int
    reveal_type(Shop.own("a"))  # str
    reveal_type(await Shop().stock(["a"]))  # dict[str, int]
    await load("1")  # error: incompatible type "str"
    await load.invalidate("1")  # error: incompatible type "str"
    await load(1, depp=True)  # error: Unexpected keyword argument "depp"
    add()  # error: Missing positional argument "a"
    await many(["a"])  # error: incompatible type "str"
    await Shop().price()  # error: Missing positional argument "item"
    await Shop.named(1)  # error: incompatible type "int"
    cached(tll=60)  # error: Unexpected keyword argument "tll"
    cached(ttl="5m")  # error: matches argument type "str"
"""


def test_mypy_sees_what_was_written(tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api")
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    options = ["--strict", "--python-version", "3.11", "--no-error-summary", "--hide-error-context"]
    options += ["--no-site-packages", "--ignore-missing-imports", "--cache-dir", os.devnull]
    package = Path(perfmw.__file__).parent
    looked_at = [package / "__init__.py", package / "cache" / "__init__.py"]
    looked_at += (package / "cache" / "functions").glob("*.py")  # all else takes long and says nothing of it
    said, complaints, _ = mypy.run([*options, "--follow-imports", "skip", str(path), *map(str, looked_at)])
    assert not complaints
    by_line: dict[int, str] = {}
    for line, text in re.findall(r"program\.py:(\d+): (.*)", said):
        by_line[int(line)] = by_line.get(int(line), "") + text
    for number, line in enumerate(PROGRAM.splitlines(), 1):
        code, _, wanted = line.partition("  # ")
        if "reveal_type(" in code:
            assert f'Revealed type is "{wanted}"' in by_line.pop(number).replace("builtins.", ""), line
        elif wanted:
            assert wanted.removeprefix("error: ") in by_line.pop(number), line
    assert not by_line
