"""A page's frame is on its way before its figures are worked out."""

from __future__ import annotations

import asyncio
import logging
import zlib
from typing import Any

import httpx
import pytest

from tests.dashboard.conftest import mounted, open_client
from tests.dashboard.fake import FakeRuntime, busy

pytestmark = pytest.mark.anyio
TABS = ("/", "/caching", "/resources", "/optimization", "/settings")


async def pieces(runtime: FakeRuntime, path: str, accept: bytes = b"identity") -> list[tuple[bytes, int]]:
    """What a server is handed of a body, each piece with the number of snapshots taken by then."""
    found: list[tuple[bytes, int]] = []
    headers = [(b"host", b"localhost"), (b"accept-encoding", accept)]
    addresses = {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}
    scope = {"type": "http", "method": "GET", "path": f"/_perfmw{path}", "root_path": "", "scheme": "http"}

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        return {}

    async def send(message: Any) -> None:
        if message.get("body"):
            found.append((message["body"], runtime.snapshots_taken))

    await mounted(runtime)({**scope, **addresses, "query_string": b"", "headers": headers}, receive, send)
    return found


@pytest.mark.parametrize("path", TABS)
async def test_the_frame_is_sent_before_a_snapshot_is_taken(path: str) -> None:
    (frame, taken), (rest, then) = await pieces(busy(), path)
    assert (taken, then) == (0, 1)
    for part in (b"app.css", b".js", b'role="tablist"', b'id="panel"'):
        assert part in frame
    assert b"</html>" in rest
    assert b"<h1" in rest


async def test_a_zipped_frame_can_be_unpacked_without_the_rest() -> None:
    (frame, _), *others = await pieces(busy(), "/caching", b"gzip")
    unpacking = zlib.decompressobj(wbits=31)
    assert b'id="panel"' in unpacking.decompress(frame)
    rest = b"".join(unpacking.decompress(piece) for piece, _ in others)
    assert rest.rstrip().endswith(b"</html>")
    assert unpacking.eof


@pytest.mark.parametrize("path", ["/profiles?sort=luck", "/caching?window=7"])
async def test_what_is_refused_is_refused_before_anything_was_sent(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(f"/_perfmw{path}")
    assert answer.status_code == 422


async def test_figures_that_fail_are_told_in_the_page_and_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = busy()

    def broken() -> Any:
        raise ZeroDivisionError("a share of nothing")

    monkeypatch.setattr(runtime, "snapshot", broken)
    with caplog.at_level(logging.ERROR, "perfmw.dashboard"):
        async with open_client(mounted(runtime)) as client:
            answer = await client.get("/_perfmw/caching")
    assert 'role="tablist"' in answer.text
    assert "could not be made" in answer.text
    assert "a share of nothing" not in answer.text
    assert "caching.html" in caplog.text
    assert "a share of nothing" in caplog.text
