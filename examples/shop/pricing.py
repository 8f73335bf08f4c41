"""The partner's pricing service: correct, and as slow as another company's service over the internet."""

from __future__ import annotations

import asyncio
import json
import random
import re
from typing import Any
from urllib.parse import parse_qsl

FASTEST, SLOWEST = 0.080, 0.200
"""Seconds an answer takes."""
_ITEMS = re.compile(r"\d+:\d+(,\d+:\d+){0,99}")

_calls = 0


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """``/prices?items=ID:CENTS,…`` answers the prices in cents; ``/calls`` how often that was asked."""
    global _calls
    if scope["type"] != "http":
        return
    if scope["path"] == "/calls":
        await _answer(send, 200, {"calls": _calls})
        return
    (name, wanted), *_ = parse_qsl(scope["query_string"].decode()) or [("", "")]
    if scope["path"] != "/prices" or name != "items" or not _ITEMS.fullmatch(wanted):
        await _answer(send, 404, {"error": "not found"})
        return
    _calls += 1
    await asyncio.sleep(random.uniform(FASTEST, SLOWEST))
    items = (item.split(":") for item in wanted.split(","))
    await _answer(send, 200, {"prices": [_price(int(number), int(cents)) for number, cents in items]})


def _price(number: int, cents: int) -> int:
    discount = random.Random(number).choice((0, 0, 5, 10, 20))
    return cents * (100 - discount) // 100


async def _answer(send: Any, status: int, value: dict[str, Any]) -> None:
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
