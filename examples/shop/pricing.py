"""The partner's pricing service: correct, and as slow as the network between two companies."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

FASTEST, SLOWEST = 0.020, 0.060
"""Seconds an answer takes."""

_calls = 0


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """``/price/ID?list=CENTS`` answers the price in cents; ``/calls`` how often that was asked."""
    global _calls
    if scope["type"] != "http":
        return
    if scope["path"] == "/calls":
        await _answer(send, 200, {"calls": _calls})
        return
    number, price = scope["path"].removeprefix("/price/"), scope["query_string"].removeprefix(b"list=")
    if not (number.isdigit() and price.isdigit()):
        await _answer(send, 404, {"error": "not found"})
        return
    _calls += 1
    await asyncio.sleep(random.uniform(FASTEST, SLOWEST))
    discount = random.Random(int(number)).choice((0, 0, 5, 10, 20))
    await _answer(send, 200, {"product": int(number), "price": int(price) * (100 - discount) // 100})


async def _answer(send: Any, status: int, value: dict[str, Any]) -> None:
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
