"""The public names are there, however they are reached, and cost nothing until used."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import perfmw


def test_every_public_name_can_be_had() -> None:
    assert {name for name in perfmw.__all__ if getattr(perfmw, name) is None} == set()
    assert set(perfmw.__all__) <= set(dir(perfmw))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        perfmw.nothing  # noqa: B018


@pytest.mark.parametrize(
    "name", ["cache.MemoryLayer", "profiles.LatencySketch", "learning.MissRatioCurve", "contracts.Codec"]
)
def test_rooms_are_reached_as_attributes(name: str) -> None:
    program = f"import perfmw; assert perfmw.{name} is not None"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_importing_perfmw_imports_nothing_heavy() -> None:
    program = "import perfmw, sys; print([name for name in sys.modules if name.startswith('perfmw.')])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "['perfmw._lazy']"


@pytest.mark.parametrize("room", ["exporters", "monitoring", "optimization", "profiles"])
def test_every_name_of_a_room_can_be_had(room: str) -> None:
    package = importlib.import_module(f"perfmw.{room}")
    assert {name for name in package.__all__ if getattr(package, name) is None} == set()
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match=rf"perfmw\.{room}.*nothing"):
        package.nothing  # noqa: B018


def test_the_first_request_imports_neither_the_engine_nor_the_rounds() -> None:
    program = """
import asyncio, sys, perfmw
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
async def main():
    wrapped = perfmw.PerfMiddleware(app)
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "raw_path": b"/",
             "query_string": b"", "root_path": "", "headers": [(b"host", b"x")], "http_version": "1.1"}
    async def send(message):
        if message["type"] == "http.response.start":
            print(sorted(set(sys.modules) & {"perfmw.optimization.engine", "perfmw.runtime.rounds"}))
    await wrapped(scope, None, send)
    while "perfmw.runtime.rounds" not in sys.modules:
        await asyncio.sleep(0.01)
    await wrapped.runtime.stop()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
