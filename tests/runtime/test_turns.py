"""Turns of the loop: what is of one, and when it is over."""

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
