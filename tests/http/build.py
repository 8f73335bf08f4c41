"""Messages for tests, written the short way: ``get("/x", cookie="a=1")``, ``head("max-age=60")``."""

from __future__ import annotations

from perfmw.http.dates import format_date
from perfmw.http.messages import Request, ResponseHead, StoredResponse
from perfmw.http.policy import Policy
from perfmw.http.storing import complete, storing
from perfmw.settings import CacheRule

NOW = 1_750_000_000.0
SAFE = Policy()
STRICT = Policy(rfc_strict=True)
BOTH = (SAFE, STRICT)

Lines = list[tuple[bytes, bytes]]


def lines(**fields: str | list[str]) -> Lines:
    found: Lines = []
    for name, value in fields.items():
        for item in [value] if isinstance(value, str) else value:
            found.append((name.replace("_", "-").encode(), item.encode("latin-1")))
    return found


def get(
    target: str = "/",
    *,
    method: str = "GET",
    host: str = "example.org",
    body: bool = False,
    **fields: str | list[str],
) -> Request:
    path, _, query = target.partition("?")
    headers = [*lines(**({"host": host} | fields))]
    return Request(
        method, "http", host.encode(), path.encode("latin-1"), query.encode("latin-1"), headers, body
    )


def head(
    cache_control: str | list[str] | None = None, status: int = 200, **fields: str | list[str]
) -> ResponseHead:
    given = {} if cache_control is None else {"cache_control": cache_control}
    return ResponseHead(status, lines(**given, **fields))


def date(offset: float = 0) -> str:
    """An HTTP date so many seconds from NOW."""
    return format_date(NOW + offset).decode()


def reason(
    response: ResponseHead,
    request: Request | None = None,
    policy: Policy = SAFE,
    rule: CacheRule | None = None,
) -> str:
    """Why not stored, or `stored: ` and by what."""
    result = storing(
        request or get(), response, request_time=NOW, response_time=NOW, policy=policy, rule=rule
    )
    assert result.store == (result.stored is not None)
    return f"stored: {result.reason}" if result.store else result.reason


def kept(
    response: ResponseHead,
    request: Request | None = None,
    policy: Policy = SAFE,
    *,
    rule: CacheRule | None = None,
    body: bytes = b"hello world",
    at: float = NOW,
) -> StoredResponse:
    """The stored response, which must exist."""
    result = storing(request or get(), response, request_time=at, response_time=at, policy=policy, rule=rule)
    assert result.stored is not None, result.reason
    stored = complete(result.stored, body, policy)
    assert stored is not None
    return stored
