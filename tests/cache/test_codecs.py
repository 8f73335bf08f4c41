"""Compression and encryption of entries that leave the process."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from perfmw import Runtime, Settings
from perfmw.cache import DiskLayer, TieredCache
from perfmw.cache.codecs import AEADCodec, Chain, ZstdCodec, read_keys
from perfmw.contracts import Codec
from perfmw.settings import SettingsError
from perfmw.testing import CodecContract

pytestmark = pytest.mark.anyio
KEY, OTHER = b"k" * 32, b"o" * 32
CONTEXT = {"key": "GET https://host/a", "layer": "disk", "expires_at": 5.0}


class TestZstd(CodecContract):
    def make(self) -> Codec:
        return ZstdCodec()


class TestAES(CodecContract):
    def make(self) -> Codec:
        return AEADCodec({"one": KEY})


class TestChaCha(CodecContract):
    def make(self) -> Codec:
        return AEADCodec({"one": KEY}, "chacha20-poly1305")


class TestChain(CodecContract):
    def make(self) -> Codec:
        return Chain([ZstdCodec(), AEADCodec({"one": KEY})])


def test_what_does_not_get_smaller_is_stored_as_it_is() -> None:
    noise = os.urandom(4096)
    assert len(ZstdCodec().encode(noise, {})) == 4097
    assert len(ZstdCodec().encode(b"short" * 20, {})) == 101
    assert len(ZstdCodec().encode(b"long text " * 500, {})) < 100


def test_decompression_is_bounded() -> None:
    bomb = ZstdCodec().encode(bytes(10_000_000), {})
    assert len(bomb) < 2_000
    with pytest.raises(ValueError, match="bound"):
        ZstdCodec(max_bytes=1_000_000).decode(bomb, {})


def test_keys_rotate() -> None:
    old = AEADCodec({"old": KEY}).encode(b"text", CONTEXT)
    both = AEADCodec({"new": OTHER, "old": KEY})
    assert both.decode(old, CONTEXT) == b"text"
    new = both.encode(b"text", CONTEXT)
    assert b"new" in new
    with pytest.raises(ValueError, match="unknown key"):
        AEADCodec({"old": KEY}).decode(new, CONTEXT)


@pytest.mark.parametrize("change", [{"key": "GET https://host/b"}, {"layer": "redis"}])
def test_a_text_moved_elsewhere_does_not_decrypt(change: dict[str, str]) -> None:
    codec = AEADCodec({"one": KEY})
    sealed = codec.encode(b"text", CONTEXT)
    with pytest.raises(ValueError, match="another key or layer"):
        codec.decode(sealed, CONTEXT | change)


def test_every_byte_is_authenticated() -> None:
    codec = AEADCodec({"one": KEY})
    sealed = codec.encode(b"text", CONTEXT)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(ValueError, match=r"damaged|unknown|not written"):
            codec.decode(bytes(changed), CONTEXT)


@pytest.mark.parametrize("words", [["one"], ["one:short"], [":" + base64.b64encode(KEY).decode()], ["a:!!"]])
def test_bad_keys_are_refused_and_not_shown(words: list[str]) -> None:
    with pytest.raises(ValueError, match="key 1 is not an id") as caught:
        read_keys(words)
    assert words[0] not in str(caught.value)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        AEADCodec({"one": b"short"})
    with pytest.raises(ValueError, match="not one of"):
        AEADCodec({"one": KEY}, "rot13")
    with pytest.raises(ValueError, match="at least one"):
        AEADCodec({})


async def test_by_settings_nothing_on_disk_is_readable(tmp_path: Path) -> None:
    word = "first:" + base64.b64encode(KEY).decode()
    settings = Settings.load(
        env={},
        cwd=tmp_path,
        plugins=[],
        layers=["disk"],
        disk_path=str(tmp_path / "c"),
        encryption_keys=[word],
    )
    assert word not in repr(settings)
    assert word not in str(settings.to_dict())
    runtime = Runtime(settings)
    await runtime.cache.put("k", "a secret " * 200, ttl=60)
    entry = await runtime.cache.get_entry("k")
    assert entry is not None
    assert entry.value == "a secret " * 200
    await runtime.cache.close()
    assert b"a secret" not in (tmp_path / "c").read_bytes()
    stranger = TieredCache([("disk", DiskLayer(tmp_path / "c"))], codec=AEADCodec({"first": OTHER}))
    assert await stranger.get_entry("k") is None
    await stranger.close()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["a:" + base64.b64encode(b"short").decode()], "key 1 has 5 bytes, not 32"),
        (["a:" + base64.b64encode(KEY).decode(), "b:x"], "key 2 is not base64"),
        (["a:" + base64.b64encode(KEY).decode(), "a:" + base64.b64encode(OTHER).decode()], "one id"),
    ],
)
def test_keys_that_are_none_are_refused_by_their_setting(tmp_path: Path, words: list[str], why: str) -> None:
    with pytest.raises(SettingsError, match=f"encryption_keys.*{why}") as refused:
        Settings.load(env={}, cwd=tmp_path, encryption_keys=words)
    assert not any(word[2:] in str(refused.value) for word in words)


async def test_entries_on_disk_are_compressed_by_default(tmp_path: Path) -> None:
    settings = Settings.load(env={}, cwd=tmp_path, plugins=[], layers=["disk"], disk_path=str(tmp_path / "c"))
    runtime = Runtime(settings)
    await runtime.cache.put("k", "text " * 20_000, ttl=60)
    await runtime.cache.close()
    assert len((tmp_path / "c").read_bytes()) < 50_000
