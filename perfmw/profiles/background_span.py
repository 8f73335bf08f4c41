"""The span of a request that perfmw makes by itself, such as a prefetch: nobody takes it for a user's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import time_ns
from typing import Any
from urllib.parse import urlsplit

from perfmw.profiles.tracing import RequestTracing


@contextmanager
def background_span(tracing: RequestTracing, url: str, attributes: Mapping[str, Any]) -> Iterator[Any]:
    """A span for a GET of an absolute ``url``; what happens within is its child. Yields it."""
    from perfmw.profiles.request_span import attach, describe, detach

    sink, scope = tracing.sink, _scope(url)
    span, context = sink.open(scope, time_ns())
    token, error = attach(context), None
    try:
        yield span
    except BaseException as problem:
        error = problem
        raise
    finally:
        detach(token)
        describe(span, route="", status=0, cache_status=None, error=error)
        span.set_attributes(attributes)
        span.end()
        sink.send(span)


def _scope(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    host = parts.netloc.encode("latin-1", "replace")
    return {
        "method": "GET",
        "scheme": parts.scheme,
        "path": parts.path or "/",
        "query_string": parts.query.encode("latin-1", "replace"),
        "headers": [(b"host", host)],
    }
