"""The event stream."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perfmw.dashboard import create_app
from perfmw.dashboard.live import SHARE, EventStream, Feed, server_is_stopping
from tests.dashboard.fake import busy

pytestmark = pytest.mark.anyio


class Source:
    def __init__(self) -> None:
        self.produced = 0
        self.tasks: list[asyncio.Task[Any]] = []
        self.fifth = asyncio.Event()

    def produce(self) -> bytes:
        self.produced += 1
        if self.produced == 5:
            self.fifth.set()
        return b'{"n":%d}' % self.produced

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        self.tasks.append(asyncio.get_running_loop().create_task(work))
        return self.tasks[-1]

    def feed(self, **options: Any) -> Feed:
        return Feed(self.produce, self.spawn, **{"interval": 0.0, "stopping": lambda: False, **options})


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def events(chunks: AsyncIterator[bytes], count: int) -> list[tuple[str, Any]]:
    """The first events, as (id, data)."""
    found: list[tuple[str, Any]] = []
    async for chunk in chunks:
        fields = dict(line.split(": ", 1) for line in chunk.decode().splitlines() if ": " in line)
        if "data" in fields:
            assert fields["event"] == "state"
            found.append((fields["id"], json.loads(fields["data"])))
        if len(found) == count:
            return found
    return found


async def test_nothing_is_produced_while_nobody_listens() -> None:
    source = Source()
    feed = source.feed()
    await settle()
    assert (source.produced, source.tasks) == (0, [])
    chunks = feed.listen()
    await events(chunks, 2)
    await chunks.aclose()
    await settle()
    produced = source.produced
    assert source.tasks[0].cancelled()
    await asyncio.sleep(0.02)
    assert (source.produced, feed.listeners) == (produced, 0)


async def test_many_listeners_share_one_producer() -> None:
    source = Source()
    feed = source.feed(interval=60.0)
    streams = [feed.listen() for _ in range(50)]
    received = await asyncio.gather(*(events(stream, 1) for stream in streams))
    assert (source.produced, len(source.tasks), feed.listeners) == (1, 1, 50)
    assert len({event[0][0] for event in received}) == 1
    for stream in streams:
        await stream.aclose()
    assert feed.listeners == 0


async def test_who_comes_back_gets_only_what_is_newer() -> None:
    source = Source()
    feed = source.feed(interval=60.0, heartbeat=0.01)
    first = feed.listen()
    [(newest, _)] = await events(first, 1)
    again = feed.listen(newest)
    assert (await anext(again)).startswith(b"retry:")
    assert await anext(again) == b": beat\n\n", "nothing new: only a heartbeat"
    stranger = feed.listen("from-before-a-restart-7")
    assert (await events(stranger, 1))[0][0] == newest
    for stream in (first, again, stranger):
        await stream.aclose()


async def test_ids_differ_after_a_restart() -> None:
    one, two = Source().feed(), Source().feed()
    streams = [one.listen(), two.listen()]
    ids = [(await events(stream, 1))[0][0] for stream in streams]
    for stream in streams:
        await stream.aclose()
    assert ids[0] != ids[1]


async def test_a_slow_listener_skips_events() -> None:
    source = Source()
    feed = source.feed()
    chunks = feed.listen()
    [(_, first)] = await events(chunks, 1)
    await asyncio.wait_for(source.fifth.wait(), 5)
    [(_, second)] = await events(chunks, 1)
    await chunks.aclose()
    assert second["n"] >= first["n"] + 4


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_streams_end_with_the_runtime(how: str) -> None:
    source = Source()
    feed = source.feed(interval=60.0)
    chunks = feed.listen()
    await events(chunks, 1)
    ending = asyncio.ensure_future(events(chunks, 99))
    await settle()
    if how == "close":
        feed.close()
    else:
        source.tasks[0].cancel()
    assert await asyncio.wait_for(ending, 5) == []
    later = feed.listen()
    assert len(await events(later, 1)) == 1, "a later listener starts it anew"
    await later.aclose()


async def test_streams_end_when_the_server_is_told_to_exit() -> None:
    stopping = [False]
    source = Source()
    feed = source.feed(interval=60.0, stopping=lambda: stopping[0])
    chunks = feed.listen()
    await events(chunks, 1)
    stopping[0] = True
    assert await asyncio.wait_for(events(chunks, 99), 5) == []


def test_costly_events_come_less_often() -> None:
    feed = Source().feed(interval=1.0)
    assert feed._interval_after(0.002) == 1.0
    assert feed._interval_after(0.024) == pytest.approx(0.024 / SHARE)
    assert feed._interval_after(5.0) == 10.0


async def test_a_producer_that_fails_ends_the_streams() -> None:
    source = Source()

    def fail() -> bytes:
        raise ZeroDivisionError

    feed = Feed(fail, source.spawn, stopping=lambda: False)
    assert await asyncio.wait_for(events(feed.listen(), 1), 5) == []
    await settle()
    assert isinstance(source.tasks[0].exception(), ZeroDivisionError)


async def test_one_who_leaves_does_not_end_the_stream_of_the_next() -> None:
    source = Source()
    feed = source.feed(interval=60.0)
    first = feed.listen()
    await events(first, 1)
    await first.aclose()
    second = feed.listen()
    await settle()
    [(_, data)] = await events(second, 1)
    assert data["n"] == 2, "what was produced for the first listener is old news"
    await second.aclose()


def test_a_server_of_uvicorns_kind_tells_that_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    class Server:
        should_exit = False

        def handle_exit(self, number: int, frame: object) -> None: ...

    server = Server()
    monkeypatch.setattr(signal, "getsignal", lambda number: server.handle_exit)
    assert not server_is_stopping()
    server.should_exit = True
    assert server_is_stopping()


class Client:
    """A raw ASGI client that can leave."""

    def __init__(self, path: str = "/api/v1/events", method: str = "GET") -> None:
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "root_path": "",
            "query_string": b"",
            "scheme": "http",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
        }
        self.left = asyncio.Event()
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        if self.asked == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.messages.put(message)


async def test_the_stream_stops_as_soon_as_the_client_is_gone() -> None:
    runtime = busy()
    app, client = create_app(runtime), Client()
    served = asyncio.ensure_future(app(client.scope, client.receive, client.send))
    start = await client.messages.get()
    headers = dict(start["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-store, no-transform"
    assert b"content-length" not in headers
    assert b"content-encoding" not in headers
    bodies = [(await client.messages.get())["body"] for _ in range(2)]
    data = json.loads(bodies[1].split(b"data: ")[1])
    assert data["overview"]["performance_score"]["value"] == 87.4
    assert data["routes"]["total"] == 8
    assert data["optimization"]["status"] == "idle"
    client.left.set()
    await asyncio.wait_for(served, 5)
    await settle()
    assert app.state.feed.listeners == 0
    assert runtime.tasks == set()


async def test_a_cancelled_request_leaves_nothing_behind() -> None:
    runtime = busy()
    app, client = create_app(runtime), Client()
    served = asyncio.ensure_future(app(client.scope, client.receive, client.send))
    await client.messages.get()
    await client.messages.get()
    served.cancel()
    with pytest.raises(asyncio.CancelledError):
        await served
    await settle()
    assert (app.state.feed.listeners, runtime.tasks) == (0, set())


async def test_head_does_not_listen() -> None:
    runtime = busy()
    app, client = create_app(runtime), Client(method="HEAD")
    await asyncio.wait_for(app(client.scope, client.receive, client.send), 5)
    assert runtime.snapshots_taken == 0
    assert (await client.messages.get())["status"] == 200


async def test_a_client_whose_connection_broke_is_no_error() -> None:
    client = Client()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("connection lost")

    feed = Source().feed()
    await asyncio.wait_for(EventStream(feed)(client.scope, client.receive, send), 5)
    assert feed.listeners == 0
