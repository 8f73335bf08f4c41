"""A page in two parts: what needs no figures is on its way while the rest is worked out.

The browser begins its document, asks for style and script, and measures its fonts meanwhile, which on a slow
processor takes it longer than the figures take the server.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers
from starlette.responses import StreamingResponse

from perfmw.dashboard.headers import accepts_gzip

if TYPE_CHECKING:
    from jinja2 import Template

logger = logging.getLogger("perfmw.dashboard")

Rest = Callable[[], Mapping[str, Any]]
"""Works out the values that the second part of a page needs."""
FLUSH: Final = "\f"
"""What templates print by ``{{ flush }}`` where the first part ends."""
_FAILED: Final = '<p role="alert">The rest of this page could not be made; the server\'s log tells why.</p>'
_GZIP: Final = 31
_LEVEL: Final = 5


def streamed(
    template: Template, first: Mapping[str, Any], rest: Rest, request_headers: Headers
) -> StreamingResponse:
    """The page; ``rest`` is called once the first part was sent.

    Status and headers are sent before, so whatever may refuse a request belongs before this call. A failure
    of ``rest`` is logged, and told in the page.
    """
    parts = _parts(template, first, rest)
    headers = {"vary": "accept-encoding"}
    if accepts_gzip(request_headers):
        headers["content-encoding"] = "gzip"
        return _page(_zipped(parts), headers)
    return _page((part.encode() for part in parts), headers)


def _page(parts: Iterator[bytes], headers: dict[str, str]) -> StreamingResponse:
    async def each() -> AsyncIterator[bytes]:  # in the event loop: what a page is made of belongs to it
        for part in parts:
            yield part

    return StreamingResponse(each(), headers=headers, media_type="text/html; charset=utf-8")


def _parts(template: Template, first: Mapping[str, Any], rest: Rest) -> Iterator[str]:
    values = template.new_context({**first, "flush": FLUSH})
    chunks = template.root_render_func(values)
    yield "".join(iter(chunks.__next__, FLUSH))
    try:
        values.parent.update(rest())  # blocks look their values up when they are entered
        yield "".join(chunks)
    except Exception:
        logger.exception("the page %s could not be made", template.name)
        yield _FAILED


def _zipped(parts: Iterator[str]) -> Iterator[bytes]:
    """Each part so that the browser can unpack it without the next."""
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    for part in parts:
        yield packer.compress(part.encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()
