from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cli.demo import as_data, as_text
from perfmw.cli.shoppers import Shoppers, Tally, Watch, Zipf
from perfmw.cli.showing import Calls, Phase, Shown, schedule
from perfmw.cli.twin import Twin
from perfmw.cli.wire import Origin, WireClient, WireResponse
from tests.cli.conftest import COMMAND, Run, clean_env


def test_a_short_demonstration_from_start_to_end(run: Run) -> None:
    done = run("demo", "--seconds", "10", "--json", "--no-browser")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("http://127.0.0.1:")
    result = json.loads(done.stdout)
    assert result["personal_pages"]["checked"] > 5
    assert result["personal_pages"]["leaks"] == 0
    assert result["errors"] == 0
    assert result["twin"]["different"] == 0
    assert result["twin"]["compared"] >= result["before"]["requests"] + result["after"]["requests"]
    before, after = result["before"], result["after"]
    assert before["requests"] > 50
    assert 0 < before["apdex"] <= 1
    assert 0 < before["p50"] <= before["p95"]
    # /news alone says how long it stays fresh
    assert 0 < before["hit_rate"] < 0.5
    assert 0 < before["partner_calls_per_1000"] < before["shop_calls_per_1000"] <= 1_500
    assert after["requests"] > 0
    for step in result["optimizations"]:
        assert step["verdict"] in ("kept", "rolled_back", "failed", "skipped", "not_enough_data")
        assert step["title"]


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [*COMMAND, "demo", "--no-browser"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith(b"http://127.0.0.1:")
        children = psutil.Process(demo.pid).children(recursive=True)
        assert len(children) >= 2
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 130
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


@pytest.mark.parametrize(("seconds", "said"), [("0", "0<x<=3600"), ("soon", "'soon' is not a valid float")])
def test_wrong_seconds_are_wrong_usage(run: Run, seconds: str, said: str) -> None:
    for done in (run("demo", "--seconds", seconds), run("demo", env={"PERFMW_DEMO_SECONDS": seconds})):
        assert done.returncode == 2
        assert said in done.stderr


@given(st.floats(10, 3600))
def test_the_time_is_divided_without_rest(seconds: float) -> None:
    plan = schedule(seconds)
    assert min(plan.baseline, plan.optimization, plan.after) > 0
    assert plan.baseline + plan.optimization + plan.after == pytest.approx(seconds, abs=0.01) or seconds < 16
    request = plan.request(plan.optimization)
    assert request is not None
    assert request["blocks"] * request["block_seconds"] * plan.runs == pytest.approx(plan.optimization)
    assert request["at_once"] == request["max_steps"]
    assert request["block_seconds"] >= 0.05
    assert plan.request(0.1 * plan.optimization / plan.runs) is None


def test_zipf_draws_the_first_most_often() -> None:
    zipf, rng = Zipf(100, 1.0), random.Random(4)
    drawn = Counter(zipf.draw(rng) for _ in range(20_000))
    assert all(0 <= rank < 100 for rank in drawn)
    assert drawn[0] / drawn[9] == pytest.approx(10, rel=0.3)


class Canned(WireClient):
    """Answers every request with the same page."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        super().__init__(Origin("127.0.0.1", 1))
        self._answer = WireResponse(status, [], len(body), b"", body)

    async def get(self, target: str, headers: object = (), *, keep: bool = True) -> WireResponse:
        return self._answer


def watch_of(client: WireClient, *, anonymous: int = 0, signed_in: int = 0) -> Watch:
    async def visit() -> Watch:
        shoppers = Shoppers(client, anonymous=anonymous, signed_in=signed_in, think=0.0005, arrive=0.0)
        await asyncio.sleep(0.2)  # hundreds of visits: they take no time
        await shoppers.stop()
        return shoppers.watch

    return asyncio.run(visit())


def test_a_page_for_somebody_else_is_a_leak() -> None:
    page = b'<body data-user="user-1-0" data-page="account">'
    assert watch_of(Canned(page), anonymous=1).leaks > 0
    other = watch_of(Canned(b'<body data-user="user-1-9">'), signed_in=1)
    assert other.leaks > 0
    assert "was made for somebody else" in other.examples[0]
    assert not other.clean


def test_a_page_for_nobody_is_a_leak_to_somebody() -> None:
    assert watch_of(Canned(b'<body data-page="account">'), signed_in=1).leaks > 0


def test_an_error_is_noticed() -> None:
    failed = watch_of(Canned(b"", status=500), anonymous=2)
    assert failed.errors > 0
    assert "answered 500" in failed.examples[0]


def shown(watch: Watch, wrong: int = 0) -> Shown:
    before, after = Tally(elapsed=2.0), Tally(elapsed=1.0)
    before.seconds.extend([0.05] * 100)
    after.seconds.extend([0.001] * 100)
    before.outcomes.update({"uri-miss": 100})
    after.outcomes.update({"hit": 90, "uri-miss": 10})
    before.cacheable["product"] = after.cacheable["product"] = 100
    after.hits["product"] = 90
    step = {"title": "Cache /x/* for 5 s", "verdict": "rolled_back", "reason": "no proven gain"}
    twin = Twin(None)
    twin.checked, twin.wrong = 200, wrong
    phases = Phase(before, Calls(100, 100, 50), 60.0), Phase(after, Calls(10, 10, 5), 90.0)
    return Shown(*phases, [step], watch, twin, 12)


def test_the_result_as_data_and_for_people() -> None:
    result = as_data(shown(Watch()), "http://127.0.0.1:1/_perfmw/")
    assert result["change"]["score"] == pytest.approx(0.5)
    assert result["change"]["shop_calls_per_1000"] == pytest.approx(-0.9)
    assert result["after"]["cacheable_hit_rate"] == pytest.approx(0.9)
    assert result["change"]["origin_calls_per_1000"] == pytest.approx(-0.9)
    text = as_text(shown(Watch()))
    assert "rolled back  Cache /x/* for 5 s: no proven gain" in text
    assert "12 answers to signed-in visitors checked: each was their own" in text


def test_a_leak_is_told_loudly() -> None:
    text = as_text(shown(Watch(leaks=3, errors=1, examples=["/cart for user-1 was made for somebody else"])))
    assert "3 WERE MADE FOR SOMEBODY ELSE" in text
    assert "1 requests failed" in text
    assert "/cart for user-1" in text


def test_an_answer_that_the_twin_would_not_give_is_told_loudly() -> None:
    assert not shown(Watch(), wrong=2).clean
    assert "200 answers compared with those of the same shop without a cache: 2 DIFFERED" in as_text(
        shown(Watch(), wrong=2)
    )
