"""Single flight: one leader, followers who outlive it, and nobody left waiting."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache import Coalescer

pytestmark = pytest.mark.anyio


async def test_one_call_for_all_who_ask_meanwhile() -> None:
    coalescer, calls = Coalescer(), 0

    async def work() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return calls

    results = await asyncio.gather(*(coalescer.run("k", work) for _ in range(50)))
    assert results == [1] * 50
    assert await coalescer.run("k", work) == 2
    assert len(coalescer) == 0


async def test_followers_survive_the_leaders_cancellation_and_one_takes_over() -> None:
    coalescer, calls, proceed, taken_over = Coalescer(), 0, asyncio.Event(), asyncio.Event()

    async def work() -> str:
        nonlocal calls
        calls += 1
        if calls == 2:
            taken_over.set()
        await proceed.wait()
        return f"call {calls}"

    tasks = [asyncio.create_task(coalescer.run("k", work)) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await taken_over.wait()
    for _ in tasks:  # the others have found the new leader
        await asyncio.sleep(0)
    proceed.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == ["call 2"] * 4
    assert calls == 2


async def test_a_cancelled_follower_disturbs_nobody() -> None:
    coalescer, proceed = Coalescer(), asyncio.Event()

    async def work() -> int:
        await proceed.wait()
        return 1

    leader = asyncio.create_task(coalescer.run("k", work))
    await asyncio.sleep(0)
    follower = asyncio.create_task(coalescer.run("k", work))
    await asyncio.sleep(0)
    follower.cancel()
    await asyncio.sleep(0)
    proceed.set()
    assert await leader == 1


async def test_followers_get_the_leaders_exception() -> None:
    coalescer, calls = Coalescer(), 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise ValueError("no")

    results = await asyncio.gather(*(coalescer.run("k", work) for _ in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["no"] * 3
    assert calls == 1


async def test_a_follower_stops_waiting_at_its_deadline() -> None:
    coalescer = Coalescer()
    leader = coalescer.enter("k")
    follower = coalescer.enter("k")
    assert (leader.leader, follower.leader) == (True, False)
    assert await follower.wait(0.001) is None
    assert coalescer.timeouts == 1

    async def work() -> str:
        return "mine"

    assert await coalescer.run("k", work, timeout=0.001) == "mine"
    leader.done("stored")
    assert await follower.wait(0.001) == "stored"


async def test_done_counts_once_and_only_from_the_leader() -> None:
    coalescer = Coalescer()
    leader, follower = coalescer.enter("k"), coalescer.enter("k")
    follower.done("forged")
    assert len(coalescer) == 1
    leader.done("stored", 7)
    leader.done("failed")
    assert await follower.wait() == "stored"
    assert follower.payload == 7
    assert coalescer.enter("k").leader


async def test_a_leader_that_leaves_without_a_word_has_failed() -> None:
    coalescer = Coalescer()
    with coalescer.enter("k"):
        follower = coalescer.enter("k")
    assert await follower.wait() == "failed"
    lost = coalescer.enter("k")
    follower = coalescer.enter("k")
    del lost
    assert await follower.wait(1) == "failed"


async def test_after_forgetting_newcomers_start_anew() -> None:
    coalescer = Coalescer()
    old = coalescer.enter("k")
    waiting = coalescer.enter("k")
    coalescer.forget("k")
    new = coalescer.enter("k")
    assert new.leader
    old.done("stored")
    assert await waiting.wait() == "stored"
    assert not coalescer.enter("k").leader


async def test_work_that_asks_for_its_own_key_does_not_wait_for_itself() -> None:
    coalescer = Coalescer()

    async def inner() -> int:
        return 1

    async def outer() -> int:
        return 1 + await coalescer.run("k", inner)

    async with asyncio.timeout(5):
        assert await coalescer.run("k", outer) == 2


def test_threads_share_one_call() -> None:
    coalescer, calls = Coalescer(), []
    begin = threading.Barrier(8)
    entered, proceed = threading.Event(), threading.Event()
    results: list[int] = []

    def work() -> int:
        calls.append(1)
        entered.set()
        proceed.wait(10)
        return len(calls)

    def ask() -> None:
        begin.wait(10)
        results.append(coalescer.run_blocking("k", work, timeout=10))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    entered.wait(10)
    while coalescer.joined < 7:
        threading.Event().wait(0.001)
    proceed.set()
    for thread in threads:
        thread.join(10)
    assert results == [1] * 8


def test_a_leader_in_a_thread_wakes_a_follower_in_a_loop() -> None:
    coalescer = Coalescer()
    leader = coalescer.enter("k")
    follower = coalescer.enter("k")

    async def follow() -> str | None:
        thread = threading.Thread(target=leader.done, args=("stored",))
        waiting = asyncio.create_task(follower.wait(10))
        await asyncio.sleep(0)
        thread.start()
        outcome = await waiting
        thread.join()
        return outcome

    assert asyncio.run(follow()) == "stored"


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_in_any_interleaving_everyone_gets_an_answer_and_calls_never_overlap(seed: int, callers: int) -> None:
    chance = random.Random(seed)

    async def scenario() -> None:
        coalescer, running, most = Coalescer(), 0, 0

        async def pause() -> None:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)

        async def work() -> str:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                await pause()
                return "value"
            finally:
                running -= 1

        async def caller() -> str:
            await pause()
            return await coalescer.run("k", work)

        tasks = [asyncio.create_task(caller()) for _ in range(callers)]
        for task in tasks:
            await pause()
            if chance.random() < 0.3:
                task.cancel()
        async with asyncio.timeout(10):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result == "value" or isinstance(result, asyncio.CancelledError) for result in results)
        assert [task.cancelled() for task in tasks] == [result != "value" for result in results]
        assert most <= 1
        assert len(coalescer) == 0

    asyncio.run(scenario())
