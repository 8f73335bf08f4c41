"""Where the candidates of a warm-up come from: documents of the site, files, the hottest keys of before."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from perfmw.runtime.warming.admission import Admission
from perfmw.runtime.warming.documents import (
    MOST_BYTES,
    DocumentError,
    read_openapi,
    read_sitemap,
    unpacked,
    urls_of_list,
)

MOST_SITEMAPS: Final = 50
_DEEPEST: Final = 2

Fetch = Callable[[str], Awaitable[bytes]]
"""The body of a URL of the site. Raises DocumentError when there is none."""


def split_source(text: str) -> tuple[str, str]:
    """Kind and place of ``hottest``, ``sitemap:/sitemap.xml``, ``openapi:/openapi.json`` or ``urls:FILE``.

    :raises ValueError: it is none of them; the message says what there is.
    """
    kind, _, place = text.strip().partition(":")
    if kind == "hottest" and not place:
        return kind, ""
    if kind in ("sitemap", "openapi") and place.startswith(("/", "http://", "https://")):
        return kind, place
    if kind == "urls" and place:
        return kind, place
    raise ValueError(
        f"{text!r} is no source to warm up from; there are hottest, sitemap:/sitemap.xml, "
        "openapi:/openapi.json and urls:FILE"
    )


class Sources:
    """Yields candidates one by one; what cannot be read is noted in ``problems``, and the rest goes on.

    :param fetch: how documents of the site are got.
    :param admission: which site that is; it is asked about documents as about pages.
    :param hottest: the keys or URLs read most.
    :param problems: a list that is told of what went wrong.
    """

    def __init__(
        self, fetch: Fetch, admission: Admission, hottest: Iterable[str], problems: list[str]
    ) -> None:
        self._fetch = fetch
        self._admission = admission
        self._hottest = hottest
        self._problems = problems

    async def candidates(self, sources: Sequence[str], urls: Iterable[str] = ()) -> AsyncGenerator[str, None]:
        """``urls``, then those of each source.

        :raises ValueError: for a source that is none.
        """
        for url in urls:
            yield url
        for source in sources:
            kind, place = split_source(source)
            if kind == "hottest":
                for key in self._hottest:
                    yield key.removeprefix("GET ")
                continue
            async for url in self._read(kind, place):
                yield url

    async def _read(self, kind: str, place: str) -> AsyncIterator[str]:
        try:
            if kind == "sitemap":
                async for url in self._sitemaps(place):
                    yield url
                return
            for url in await self._operations(place) if kind == "openapi" else await _lines(Path(place)):
                yield url
        except (DocumentError, OSError) as error:
            self._problems.append(f"{kind}:{place}: {error}")

    async def _operations(self, place: str) -> list[str]:
        urls, without = read_openapi(await self._document(place))
        if without:
            self._problems.append(
                f"openapi:{place}: {without} GET operations need credentials or parameters that are not known"
            )
        return urls

    async def _sitemaps(self, place: str) -> AsyncIterator[str]:
        """Pages of a sitemap, and of those that an index lists."""
        waiting, seen = deque([(place, 0)]), 0
        while waiting:
            place, depth = waiting.popleft()
            seen += 1
            try:
                pages, further = read_sitemap(await self._document(place))
            except DocumentError as error:
                self._problems.append(f"sitemap:{place}: {error}")
                continue
            for page in pages:
                yield page
            room = MOST_SITEMAPS - seen - len(waiting) if depth < _DEEPEST else 0
            waiting.extend((one, depth + 1) for one in further[: max(0, room)])
            if len(further) > room:
                self._problems.append(f"sitemap:{place}: {len(further) - max(0, room)} sitemaps are left out")

    async def _document(self, place: str) -> bytes:
        url, reason = self._admission.admit(place)
        if reason:
            raise DocumentError(f"is not asked for: {reason}")
        return await self._fetch(url)


async def _lines(path: Path) -> Iterator[str]:
    return urls_of_list(await asyncio.to_thread(_text_of, path))


def _text_of(path: Path) -> list[str]:
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise DocumentError(f"it has more than {MOST_BYTES:,} bytes")
    return unpacked(data).decode("utf-8", "replace").splitlines()
