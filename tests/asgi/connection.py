"""A connection of uvicorn's to an app behind the middleware, without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from perfmw import PerfMiddleware, Settings
from perfmw.asgi.cork import LARGEST


class Wire:
    """A transport that keeps what is written, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        if data:
            self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 5)}.get(name, default)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_protocol(self, protocol: Any) -> None: ...


class Site:
    """An app behind the middleware, as one connection of uvicorn's sees it."""

    def __init__(self, kind: Any, *, access_log: bool = False, **chosen: Any) -> None:
        self.pause = asyncio.Event()
        self.status = 200
        self.body: bytes | None = None
        self.app = PerfMiddleware(self.serve, settings=Settings(plugins=[], **chosen))
        config = Config(self.app, lifespan="off", log_config=None, access_log=access_log)
        config.load()
        self.wire, self.state = Wire(), ServerState()
        self.state.default_headers = [(b"Date", b"Mon, 23 Nov 2026 18:19:00 GMT"), (b"server", b"uvicorn")]
        self.protocol = kind(config=config, server_state=self.state, app_state={})
        self.protocol.connection_made(self.wire)

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        body = b"x" * (LARGEST + 1 if path == "/large" else 5)
        headers = [(b"content-length", str(len(body)).encode())] if path != "/stream" else []
        headers += [(b"cache-control", b"max-age=60" if path == "/kept" else b"no-store")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if path in ("/stream", "/late"):
            await self.pause.wait()
        if path == "/raises":
            raise RuntimeError("the app has failed")
        if self.body is not None:
            body = self.body
        await send({"type": "http.response.body", "body": body, "more_body": path == "/more"})
        if path == "/more":
            await send({"type": "http.response.body", "body": b""})
        if path == "/asks":
            await receive()

    async def ask(self, path: str, fields: str = "", *, wait: bool = True) -> list[bytes]:
        self.wire.writes.clear()
        self.protocol.data_received(f"GET {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n".encode())
        tasks = [*self.state.tasks]
        if wait:
            await asyncio.wait(tasks)
        else:
            await settled()
        return self.wire.writes

    async def again(self, path: str, fields: str = "", *, wait: bool = True) -> list[bytes]:
        """What is written when the way through is known."""
        for _ in range(3):
            await self.ask(path)
        if not wait:
            self.pause.clear()
        return await self.ask(path, fields, wait=wait)


async def settled() -> None:
    """Let everything run that waits for nobody."""
    for _ in range(50):
        await asyncio.sleep(0)
