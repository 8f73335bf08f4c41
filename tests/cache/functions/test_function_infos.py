"""What cached functions did, for statistics of the process."""

from __future__ import annotations

import pytest

from perfmw.cache import cached, cached_many
from perfmw.cache.functions.callspec import FunctionInfo, function_infos

pytestmark = pytest.mark.anyio


def told(name: str) -> FunctionInfo:
    [found] = [info for info in function_infos() if info.name == name]
    return found


async def test_fills_with_the_time_and_the_bytes_they_took() -> None:
    @cached(ttl=60, namespace="infos.one")
    async def load(number: int) -> str:
        return "x" * 1_000

    for number in (1, 2, 1):
        await load(number)
    info = told("infos.one")
    assert (info.hits, info.misses, info.fills) == (1, 2, 2)
    assert info.stored_bytes > 2_000
    assert info.seconds > 0.0


async def test_the_batch_form_counts_keys() -> None:
    @cached_many(ttl=60, namespace="infos.many")
    async def load(numbers: list[int]) -> dict[int, str]:
        return dict.fromkeys(numbers, "x" * 100)

    await load([1, 2])
    await load([2, 3])
    info = told("infos.many")
    assert (info.hits, info.misses, info.fills) == (1, 3, 3)
    assert load.info() == info


def test_functions_of_one_name_are_told_together_and_those_gone_not_at_all() -> None:
    @cached(namespace="infos.shared")
    def one() -> int:
        return 1

    @cached(namespace="infos.shared")
    def two() -> int:
        return 2

    one()
    two()
    two()
    assert (told("infos.shared").hits + told("infos.shared").misses) == 3
    del one, two
    assert "infos.shared" not in {info.name for info in function_infos()}
