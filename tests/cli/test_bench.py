from __future__ import annotations

import json
import math
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cli.benching import Block, Comparison, Side, plan, ratio_of
from tests.cli.conftest import Run

APP = """
import time

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def page(request):
    time.sleep(0.003)
    return PlainTextResponse("page", headers={"cache-control": "max-age=60"})


app = Starlette(routes=[Route("/", page)])
"""


def block(latency: float, cpu: float = 0.1, requests: int = 10) -> Block:
    return Block(array("d", [latency] * requests), cpu, 1.0)


def test_a_difference_that_every_pair_shows_is_certain() -> None:
    found = Comparison(
        Side([block(0.010), block(0.012), block(0.011), block(0.010)]),
        Side([block(0.005), block(0.006), block(0.0056), block(0.005)]),
    )
    ratio = found.ratios()["p50"]
    assert ratio is not None
    assert ratio.certain
    assert ratio.low < ratio.ratio < ratio.high < 1
    assert ratio.ratio == pytest.approx(0.502, abs=0.01)
    cpu = found.ratios()["cpu_per_request"]
    assert cpu is not None
    assert cpu.ratio == pytest.approx(1.0)
    assert not cpu.certain


def test_noise_is_no_difference() -> None:
    ratio = ratio_of([0.3, -0.3, 0.2, -0.25, 0.1])
    assert ratio is not None
    assert not ratio.certain
    assert ratio_of([0.1, 0.1, 0.1]) is None  # three pairs tell no interval worth the name


@given(st.lists(st.floats(-2, 2), min_size=4, max_size=40))
def test_the_interval_holds_the_ratio_and_turns_with_it(logs: list[float]) -> None:
    there, back = ratio_of(logs), ratio_of([-one for one in logs])
    assert there is not None
    assert back is not None
    assert there.low <= there.ratio * (1 + 1e-9)
    assert there.ratio <= there.high * (1 + 1e-9)
    assert there.low * back.high == pytest.approx(1.0)


@given(st.floats(2, 3600))
def test_a_plan_has_pairs_enough_and_keeps_to_its_time(seconds: float) -> None:
    pairs, length = plan(seconds)
    assert pairs >= 4
    assert math.isclose(2 * pairs * length, 0.9 * seconds)


def test_a_tail_of_too_few_requests_is_not_told() -> None:
    told = Side([block(0.01, requests=1_000)]).quantiles()
    assert told["p99"] == 0.01
    assert told["p999"] is None


def test_an_app_with_and_without(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "perfmw.toml").write_text("plugins = []\n")
    done = run("bench", "shop:app", "--seconds", "3", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["pairs"] >= 4
    assert told["bare"]["hit_rate"] == 0
    assert told["wrapped"]["hit_rate"] > 0.9
    assert told["bare"]["requests"] > 0
    mean = told["ratios"]["mean"]
    assert mean["low"] <= mean["ratio"] <= mean["high"]


def test_what_cannot_be_measured(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    missing = run("bench", "shop:app", "--seconds", "2", "--path", "/missing")
    assert missing.returncode == 1
    assert "/missing was answered 404; --path names another page" in missing.stderr
    assert run("bench", "shop:app", "--path", "nowhere").returncode == 2
    nobody = run("bench", "nosuch:app")
    assert nobody.returncode == 2
    assert nobody.stderr.count("no module named 'nosuch'") == 1
