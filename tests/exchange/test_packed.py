"""Stored responses kept compressed: each client gets what it takes, with the right validators and lengths."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
import zstandard

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.http.packed import Packed
from perfmw.settings import SettingsError
from perfmw.testing import Client, Response

pytestmark = pytest.mark.anyio
TEXT = b"<p>a line of the page that says the same as all the others</p>\n" * 200
ZSTD = {"accept-encoding": "gzip, deflate, br, zstd"}
Fields = list[tuple[bytes, bytes]]
HTML: Fields = [(b"content-type", b"text/html; charset=utf-8")]


def site(fields: Fields = HTML, body: bytes = TEXT, status: int = 200, etag: bytes = b'"v1"') -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        sent = dict(scope["headers"])
        tag = [(b"etag", etag)] if etag else []
        confirmed = bool(etag) and sent.get(b"if-none-match") == etag
        length = [] if confirmed else [(b"content-length", b"%d" % len(body))]
        head = {"type": "http.response.start", "status": 304 if confirmed else status}
        await send({**head, "headers": [*fields, *tag, *length]})
        await send({"type": "http.response.body", "body": b"" if confirmed else body})

    return app


def client(app: Any, ttl: float = 60, **settings: Any) -> Client:
    chosen = {"compress_responses": "shared", "cache_rules": [CacheRule(path="/**", ttl=ttl)], **settings}
    return Client(PerfMiddleware(app, settings=Settings(**chosen)))


def text_of(answer: Response) -> bytes:
    assert int(answer.header("content-length") or -1) == len(answer.body)
    if answer.header("content-encoding") != "zstd":
        return answer.body
    return zstandard.ZstdDecompressor().decompress(answer.body)


async def test_each_gets_what_it_takes() -> None:
    asked = client(site())
    first = await asked.get("/", ZSTD)
    assert (first.body, first.header("content-encoding"), first.header("etag")) == (TEXT, None, '"v1"')
    packed, plain = await asked.get("/", ZSTD), await asked.get("/")
    assert packed.header("cache-status") == "perfmw; hit; ttl=59"
    assert (packed.header("content-encoding"), packed.header("etag")) == ("zstd", '"v1-zstd"')
    assert text_of(packed) == TEXT
    assert len(packed.body) < len(TEXT) / 10
    assert (plain.header("content-encoding"), plain.header("etag"), text_of(plain)) == (None, '"v1"', TEXT)
    for answer in (first, packed, plain):
        assert answer.header_lines("vary") == ["accept-encoding"]


@pytest.mark.parametrize(
    ("accepted", "coded"),
    [
        ("zstd", True),
        ("ZSTD;q=0.5, gzip", True),
        ("gzip, br", False),
        ("zstd;q=0", False),
        ("identity, zstd;q=0.5", False),
        ("*", False),
        ("", False),
    ],
)
async def test_accept_encoding_is_read_by_quality(accepted: str, coded: bool) -> None:
    asked = client(site())
    await asked.get("/")
    answer = await asked.get("/", {"accept-encoding": accepted})
    assert (answer.header("content-encoding") == "zstd", text_of(answer)) == (coded, TEXT)


@pytest.mark.parametrize("etag", [b'"v1"', b'W/"v1"'])
async def test_a_copy_is_confirmed_by_its_own_tag(etag: bytes) -> None:
    asked = client(site(etag=etag))
    await asked.get("/")
    tag = (await asked.get("/", ZSTD)).header("etag") or ""
    assert tag == etag.decode()[:-1] + '-zstd"'
    for fields, status in (
        ({**ZSTD, "if-none-match": tag}, 304),
        ({**ZSTD, "if-none-match": etag.decode()}, 304),
        ({"if-none-match": etag.decode()}, 304),
        ({"if-none-match": tag}, 200),
        ({**ZSTD, "if-none-match": f'"x", {tag}'}, 304),
        ({**ZSTD, "if-none-match": '"x"'}, 200),
    ):
        answer = await asked.get("/", fields)
        assert answer.status == status
        if status == 304:
            assert answer.header("etag") == (tag if tag in fields["if-none-match"] else etag.decode())
            assert (answer.header("vary"), answer.header("content-encoding")) == ("accept-encoding", None)
            assert answer.body == b""


async def test_ranges_are_of_the_plain_bytes() -> None:
    asked = client(site([*HTML, (b"accept-ranges", b"bytes")]))
    await asked.get("/")
    part = await asked.get("/", {**ZSTD, "range": "bytes=3-8"})
    assert (part.status, part.body, part.header("etag")) == (206, TEXT[3:9], '"v1"')
    assert part.header("content-range") == f"bytes 3-8/{len(TEXT)}"
    other = await asked.get("/", {**ZSTD, "range": "bytes=3-8", "if-range": '"v1-zstd"'})
    assert (other.status, text_of(other)) == (200, TEXT)
    assert (await asked.get("/", ZSTD)).header("accept-ranges") is None


async def test_head_tells_of_what_get_would_send() -> None:
    asked = client(site())
    await asked.get("/")
    got, told = await asked.get("/", ZSTD), await asked.request("HEAD", "/", ZSTD)
    assert told.body == b""
    for name in ("content-encoding", "content-length", "etag", "vary"):
        assert told.header(name) == got.header(name)


NOTHING: dict[str, str] = {}


@pytest.mark.parametrize(
    ("fields", "settings", "sent"),
    [
        ([(b"content-type", b"image/png")], {}, NOTHING),
        ([*HTML, (b"content-encoding", b"gzip")], {}, NOTHING),
        ([*HTML, (b"cache-control", b"max-age=60, No-Transform")], {}, NOTHING),
        ([*HTML, (b"vary", b"Accept-Encoding")], {}, ZSTD),
        ([*HTML, (b"vary", b"Cookie")], {}, {"cookie": "a=b"}),
        (HTML, {"compress_min_bytes": len(TEXT) + 1}, NOTHING),
        (HTML, {"compress_responses": "off"}, NOTHING),
        ([], {}, NOTHING),
    ],
)
async def test_what_is_left_alone(fields: Fields, settings: dict[str, Any], sent: dict[str, str]) -> None:
    asked = client(site(fields), **settings)
    await asked.get("/", {**ZSTD, **sent})
    answer = await asked.get("/", {**ZSTD, **sent})
    assert (answer.header("cache-status") or "").startswith("perfmw; hit")
    assert (answer.body, answer.header("content-encoding")) == (
        TEXT,
        dict(fields).get(b"content-encoding") and "gzip",
    )
    assert len(answer.header_lines("vary")) == (b"vary" in dict(fields))


async def test_personal_pages_are_compressed_where_the_settings_say_so() -> None:
    asked = client(site([*HTML, (b"vary", b"Cookie")]), compress_responses="all")
    for cookie, encoding in (("a=1", None), ("a=1", "zstd"), ("a=2", None)):
        answer = await asked.get("/", {**ZSTD, "cookie": cookie})
        assert (answer.header("content-encoding"), text_of(answer)) == (encoding, TEXT)
        assert answer.header("vary") == "Cookie, accept-encoding"


async def test_noise_and_what_a_client_forbids_to_change_stay_as_they_are() -> None:
    noise = os.urandom(8192)
    asked = client(site(body=noise))
    await asked.get("/")
    assert (await asked.get("/", ZSTD)).body == noise
    asked = client(site())
    await asked.get("/")
    answer = await asked.get("/", {**ZSTD, "cache-control": "no-transform"})
    assert (answer.header("content-encoding"), answer.body) == (None, TEXT)


async def test_a_validation_asks_with_the_origins_tag_and_renews_both() -> None:
    seen: list[bytes | None] = []
    inner = site([*HTML, (b"cache-control", b"max-age=0")])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]).get(b"if-none-match"))
        await inner(scope, receive, send)

    asked = client(app, cache_rules=[])
    for fields in (NOTHING, ZSTD, ZSTD):
        assert text_of(await asked.get("/", fields)) == TEXT
    assert seen == [None, b'"v1"', b'"v1"']


async def test_memory_counts_the_compressed_size_and_files_keep_it(tmp_path: Path) -> None:
    async with client(site(), layers=["memory", "disk"], disk_path=str(tmp_path / "cache")) as asked:
        await asked.get("/")
        cache = asked.app.runtime.responses  # type: ignore[attr-defined]
        (key,) = cache.memory.keys_nowait()
        entry = cache.get_nowait(key)
        assert type(entry.value) is Packed
        assert len(entry.value.body) < entry.size < len(TEXT)
        cache.memory.clear_nowait()
        assert text_of(await asked.get("/")) == TEXT
        cache.memory.clear_nowait()
        again = await asked.get("/", ZSTD)
        assert (again.header("content-encoding"), text_of(again)) == ("zstd", TEXT)


async def test_a_damaged_body_is_a_miss() -> None:
    calls = 0
    inner = site()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1
        await inner(scope, receive, send)

    asked = client(app)
    await asked.get("/")
    cache = asked.app.runtime.responses  # type: ignore[attr-defined]
    (key,) = cache.memory.keys_nowait()
    stored = cache.get_nowait(key).value
    stored.body = stored.body[:-4]
    assert text_of(await asked.get("/")) == TEXT
    assert calls == 2


async def test_a_herd_gets_what_each_takes() -> None:
    asked = client(site())
    answers = await asyncio.gather(*(asked.get("/", ZSTD if n % 2 else {}) for n in range(20)))
    assert {text_of(answer) for answer in answers} == {TEXT}
    assert sum(answer.header("cache-status") == "perfmw; fwd=uri-miss; stored" for answer in answers) == 1


def test_without_a_library_for_it_the_setting_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**options: Any) -> None:
        raise ModuleNotFoundError("zstandard")

    monkeypatch.setattr("perfmw.exchange.packer.ZstdCodec", missing)
    with pytest.raises(SettingsError, match="compress_responses"):
        PerfMiddleware(site(), settings=Settings(compress_responses="all"))
