"""A CDN before the app, as a layer of its own kind: it is sent fields and told of invalidations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from perfmw.contracts import Purge, PurgeKind
from perfmw.settings import Cdn

Field = tuple[bytes, bytes]
_LONGEST = 8_000
"""Bytes of tags in one field; CDNs cut off or refuse what is longer than some 16 KiB in all."""
_SPACED = frozenset({"surrogate-key", "xkey", "x-key"})
"""Fields whose members are separated by spaces; in others it is commas."""
_URL_KEY = re.compile(r"GET (https?://[^ ]+)")
_SAFE = "!#$&'()*+-./:;<=>?@[]^_`{|}~"


def cdn_tag(tag: str) -> str:
    """A tag as a CDN gets it: what separates tags in fields, and all beyond ASCII, is percent-encoded."""
    return quote(tag, safe=_SAFE)


class CdnFields:
    """The fields of responses that are for a CDN. They are made once, when a response is stored."""

    def __init__(self, settings: Cdn) -> None:
        control, tags = settings.cache_control, settings.tags
        self._control = control.lower().encode() if control is not None else None
        self._tags = tags.lower().encode() if tags is not None else None
        self._separator = " " if tags is not None and tags.lower() in _SPACED else ","

    @property
    def any(self) -> bool:
        return self._control is not None or self._tags is not None

    def of(
        self,
        tags: Iterable[str],
        lifetime: float,
        *,
        stale_while_revalidate: float = 0.0,
        stale_if_error: float = 0.0,
        own: Iterable[Field] = (),
    ) -> list[Field]:
        """The fields of a response with these tags that stays fresh for ``lifetime`` seconds from its date.

        A freshness field that the app gave itself is left to it. A response whose tags do not fit is kept
        out of the CDN, since nobody could purge it there.

        :param own: the fields that the response has already.
        """
        joined = self._separator.join(sorted(map(cdn_tag, tags))) if self._tags is not None else ""
        fields: list[Field] = []
        if len(joined) > _LONGEST:
            return [(self._control or b"cdn-cache-control", b"no-store")]
        if self._control is not None and all(name != self._control for name, _ in own):
            fields.append((self._control, _control(lifetime, stale_while_revalidate, stale_if_error)))
        if self._tags is not None and joined:
            fields.append((self._tags, joined.encode("ascii")))
        return fields


def _control(lifetime: float, revalidate: float, error: float) -> bytes:
    parts = [b"max-age=%d" % max(0, int(lifetime))]
    if revalidate >= 1:
        parts.append(b"stale-while-revalidate=%d" % int(revalidate))
    if error >= 1:
        parts.append(b"stale-if-error=%d" % int(error))
    return b", ".join(parts)


def purges_of(keys: Iterable[str], tags: Iterable[str], prefix: str | None, *, soft: bool) -> Iterator[Purge]:
    """What an invalidation means to a CDN: keys and prefixes of anything but URLs mean nothing to it."""
    for key in keys:
        if match := _URL_KEY.fullmatch(key):
            yield Purge("url", _sendable(match[1]), soft)
    for tag in tags:
        yield Purge("tag", cdn_tag(tag), soft)
    if prefix is not None and (match := _URL_KEY.fullmatch(prefix)):
        yield Purge("prefix", _sendable(match[1]), soft)


def _sendable(url: str) -> str:
    """A URL of a key, which has bytes as characters, as it was sent."""
    return quote(url.encode("latin-1", "replace"), safe=_SAFE + "%,")


KINDS: tuple[PurgeKind, ...] = ("url", "tag", "prefix")
