"""A site that does what sites do wrong: everything it answers would hurt somebody if it were shared."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from urllib.parse import parse_qs

Fields = dict[bytes, bytes]


class Site:
    """An ASGI app. Every body ends with how often its path was asked for, so that reuse shows."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        self.calls[scope["path"]] += 1
        fields = dict(scope["headers"])
        name = scope["path"].split("/")[1] or "root"
        status, headers, text = await getattr(self, f"page_{name}", self.page_other)(scope, fields, receive)
        body = text + b" call %d" % self.calls[scope["path"]]
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body)), *headers]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def page_other(self, scope: Any, fields: Fields, receive: Any) -> Any:
        query: bytes = scope["query_string"]
        return 200, [], b"raw " + scope["raw_path"] + b"?" + query

    async def page_me(self, scope: Any, fields: Fields, receive: Any) -> Any:
        return 200, [], b"token " + fields.get(b"authorization", b"none")

    async def page_account(self, scope: Any, fields: Fields, receive: Any) -> Any:
        return 200, [], b"cookie " + fields.get(b"cookie", b"none")

    async def page_login(self, scope: Any, fields: Fields, receive: Any) -> Any:
        number = self.calls[scope["path"]]
        return 200, [(b"set-cookie", b"session=%d" % number)], b"welcome"

    async def page_private(self, scope: Any, fields: Fields, receive: Any) -> Any:
        return 200, [(b"Cache-Control", b"Private, max-age=60")], b"private"

    async def page_nostore(self, scope: Any, fields: Fields, receive: Any) -> Any:
        return 200, [(b"cache-control", b"max-age=60"), (b"cache-control", b"NO-STORE")], b"secret"

    async def page_fail(self, scope: Any, fields: Fields, receive: Any) -> Any:
        status = int(scope["path"].rsplit("/", 1)[1])
        return status, [(b"cache-control", b"max-age=60")], b"failed"

    async def page_links(self, scope: Any, fields: Fields, receive: Any) -> Any:
        shown = [fields[name] for name in sorted(fields) if name == b"host" or name.startswith(b"x-")]
        return 200, [], b"links " + b" ".join(shown)

    async def page_body(self, scope: Any, fields: Fields, receive: Any) -> Any:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                return 200, [], b"body " + body

    async def page_go(self, scope: Any, fields: Fields, receive: Any) -> Any:
        to = parse_qs(scope["query_string"].decode("latin-1")).get("to", [""])[0]
        return 200, [(b"x-to", to.encode("latin-1"))], b"gone"

    async def page_slow(self, scope: Any, fields: Fields, receive: Any) -> Any:
        await asyncio.sleep(0.2)
        return 200, [], b"slow"

    async def page_ip(self, scope: Any, fields: Fields, receive: Any) -> Any:
        return 200, [], b"you are " + fields.get(b"x-forwarded-for", b"unknown")


async def _lifespan(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
