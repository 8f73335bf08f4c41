"""The public names are there, however they are reached, and cost nothing until used."""

from __future__ import annotations

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
    assert done.stdout.strip() == "[]"
