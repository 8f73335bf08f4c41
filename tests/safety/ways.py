"""Two ways to reach a wrapped site: by calling it, and through a server and a socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any
from urllib.parse import unquote

from perfmw.testing.client import Client
from tests.conformance.client import fetch, wait_for_port
from tests.conformance.model import Answer

Wrap = Callable[[Any], Any]
Ask = Callable[..., Awaitable[Answer]]
Header = tuple[str, str]


@asynccontextmanager
async def directly(app: Any) -> AsyncIterator[Ask]:
    """Calls the app as a server would. An exception counts as a 500."""
    async with Client(app) as client:

        async def ask(
            target: str, headers: Sequence[Header] = (), *, method: str = "GET", body: bytes = b""
        ) -> Answer:
            path, _, query = target.partition("?")
            fields = list(headers) + ([("content-length", str(len(body)))] if body else [])
            response = await client.request(
                method,
                "/",
                fields,
                body,
                raise_errors=False,
                path=unquote(path, errors="replace"),
                raw_path=path.encode("latin-1"),
                query_string=query.encode("latin-1"),
            )
            pairs = [
                (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers
            ]
            return Answer(500 if response.error else response.status, pairs, body=response.body)

        yield ask


@asynccontextmanager
async def over_a_socket(app: Any) -> AsyncIterator[Ask]:
    """Serves the app with uvicorn on a free port of this machine."""
    import uvicorn

    class Server(uvicorn.Server):
        def capture_signals(self) -> Any:
            return nullcontext()  # they are for the test runner

    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(app, log_level="critical", ws="none"))
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    port = listener.getsockname()[1]
    await wait_for_port(port)

    async def ask(
        target: str, headers: Sequence[Header] = (), *, method: str = "GET", body: bytes = b""
    ) -> Answer:
        return await fetch(port, method, target, list(headers), body)

    try:
        yield ask
    finally:
        server.should_exit = True
        await serving
        listener.close()


WAYS = {"direct": directly, "socket": over_a_socket}
