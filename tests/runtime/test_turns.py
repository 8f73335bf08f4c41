"""Turns of the loop: what is of one, when it is over, and who runs alone."""

from __future__ import annotations

import asyncio

import pytest

from perfmw.resources.concurrency import Ticket
from perfmw.runtime.turns import Turns

pytestmark = pytest.mark.anyio


async def test_all_of_a_turn_began_with_it_and_end_with_it() -> None:
    turns, over = Turns(), list[float]()
    assert [turns.begun(1.0), turns.begun(1.5)] == [1.0, 1.0]
    turns.at_end(lambda ticket, at: over.append(at), Ticket(), 1.6)
    assert over == []
    await asyncio.sleep(0)
    assert over == [1.6]
    assert turns.begun(1.7) == 1.7


async def test_one_that_was_read_alone_is_alone_once() -> None:
    turns = Turns()
    assert not turns.alone()  # nobody tells of what is read
    for now in (1.0, 2.0):
        turns.read(now)
        assert turns.alone()
        assert not turns.alone()


async def test_those_read_together_are_not_alone() -> None:
    turns = Turns()
    turns.read(1.0)
    turns.read(1.0001)
    assert not turns.alone()
    turns.read(1.1)
    turns.begun(1.1)
    assert not turns.alone()  # another runs in this turn
