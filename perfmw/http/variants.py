"""The several responses of one URL: an index under the URL's key, each response under a key of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

from perfmw.http.fields import MEMO_LONGEST
from perfmw.http.messages import Fields, Header, Headers, StoredResponse, index
from perfmw.http.vary import Values, selects

_SECRET = frozenset({b"authorization", b"cookie", b"proxy-authorization"})
_NEGOTIATED = frozenset({b"content-encoding", b"content-language"})
_READABLE = 120
_REMEMBERED = 64
_LONGEST_TAG = 128
_MOST_TAGS = 16


@dataclass(slots=True)
class Variant:
    """What selects one response, and the key that holds it; ``chosen``: its fields that were negotiated.

    ``etag``: the origin's entity tag of a complete one.
    """

    key: str
    vary: tuple[bytes, ...]
    values: tuple[bytes | None, ...]
    response_time: float
    chosen: list[Header]
    etag: bytes | None = None


class _Choices:
    """What is derived from an index and stays in the process: it is no field of the dataclass below."""

    __slots__ = ("choices", "names")

    choices: dict[tuple[Header, ...], str]
    names: frozenset[bytes]

    def remember_for(self, variants: list[Variant]) -> None:
        self.names = frozenset(name for variant in variants for name in variant.vary)
        self.choices = {}


@dataclass(slots=True)
class VariantIndex(_Choices):
    """Stored under the URL's key in place of a response once a response varies; newest first.

    It is never changed, so that choices made once can be remembered.
    """

    variants: list[Variant] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.remember_for(self.variants)

    def choose(self, headers: Headers, *, strict: bool) -> str:
        """The key of the one response these request fields select; empty when it is none or several."""
        selecting = tuple([(name, value) for name, value in headers if name in self.names])
        key = self.choices.get(selecting)
        if key is None:
            keys = self.select(index(headers), strict=strict)
            key = keys[0] if len(keys) == 1 else ""
            if len(self.choices) < _REMEMBERED and sum(len(value) for _, value in selecting) <= MEMO_LONGEST:
                self.choices[selecting] = key
        return key

    def select(self, fields: Fields, *, strict: bool) -> list[str]:
        """Keys of the responses these request fields select, newest first."""
        return [
            variant.key
            for variant in self.variants
            if selects(fields, variant.vary, variant.values, variant.chosen, strict=strict)
        ]

    def keys(self) -> list[str]:
        return [variant.key for variant in self.variants]

    def tags(self) -> list[bytes]:
        """Entity tags of these responses, newest first and no more than fit into a request."""
        found = list(dict.fromkeys(variant.etag for variant in self.variants if variant.etag is not None))
        return [tag for tag in found if len(tag) <= _LONGEST_TAG][:_MOST_TAGS]

    def tagged(self, etag: bytes) -> list[str]:
        """Keys of the responses with this entity tag."""
        return [variant.key for variant in self.variants if variant.etag == etag]

    def with_response(self, key: str, stored: StoredResponse, limit: int) -> tuple[VariantIndex, list[str]]:
        """A new index that holds ``stored`` under ``key``, and the keys that had to make room."""
        kept = [variant for variant in self.variants if variant.key != key]
        chosen = [(name, value) for name, value in stored.headers if name in _NEGOTIATED]
        known = None if stored.own_etag or stored.range is not None else stored.etag
        fresh = Variant(key, stored.vary, stored.vary_values, stored.response_time, chosen, known)
        variants = [fresh, *kept]
        return VariantIndex(variants[:limit]), [variant.key for variant in variants[limit:]]


def variant_key(key: str, stored: StoredResponse) -> str:
    """The key of one response of a URL: readable, except that long values and secrets are hashed.

    It is the URL's own key only for a complete response that does not vary.
    """
    suffix = variant_suffix(stored.vary, stored.vary_values)
    return f"{key}{suffix} {{partial}}" if stored.range is not None else key + suffix


def variant_suffix(names: tuple[bytes, ...], values: Values) -> str:
    """`` {accept-encoding=gzip}``; empty when nothing varies."""
    if not names:
        return ""
    pairs = [_pair(name, value) for name, value in zip(names, values, strict=True)]
    text = "; ".join(pairs)
    return f" {{{text}}}" if len(text) <= _READABLE else f" {{#{_digest(text.encode())}}}"


def _pair(name: bytes, value: bytes | None) -> str:
    label = name.decode("latin-1")
    if value is None:
        return f"{label} absent"
    if name in _SECRET or b"{" in value or b"; " in value:
        return f"{label}=#{_digest(value)}"
    return f"{label}={value.decode('latin-1')}"


def _digest(value: bytes) -> str:
    return blake2b(value, digest_size=12).hexdigest()
