"""``perfmw.asgi:app`` finds its target in the environment, and says so at start-up when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmw.asgi.served import TargetApp
from perfmw.testing import Client

pytestmark = pytest.mark.anyio

SITE = """
FRESH = [(b"cache-control", b"max-age=60")]

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": FRESH})
        await send({"type": "http.response.body", "body": b"served"})

def make():
    return app
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "target_of_test_served.py").write_text(SITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("target", "factory"), [("app", "0"), ("make", "1"), ("", "")])
async def test_the_target_is_served_through_the_cache(
    place: Path, monkeypatch: pytest.MonkeyPatch, target: str, factory: str
) -> None:
    monkeypatch.setenv("PERFMW_TARGET", f"target_of_test_served:{target}")
    monkeypatch.setenv("PERFMW_TARGET_FACTORY", factory)
    async with Client(TargetApp()) as client:
        assert (await client.get("/")).body == b"served"
        assert "hit" in str((await client.get("/")).header("cache-status"))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nosuch_module:app", "no module named 'nosuch_module'"),
        ("target_of_test_served:ap", "did you mean app"),
        ("target_of_test_served:SITE:x", "not of the form"),
        ("", "not of the form"),
    ],
)
async def test_a_target_that_is_not_there_fails_the_start(
    place: Path, monkeypatch: pytest.MonkeyPatch, target: str, said: str
) -> None:
    monkeypatch.setenv("PERFMW_TARGET", target)
    with pytest.raises(RuntimeError, match=said):
        async with Client(TargetApp()):
            raise AssertionError("it started")
    with pytest.raises(ValueError, match=said):
        await Client(TargetApp()).get("/")
