"""The shapes of ASGI (asgi.readthedocs.io, version 3.0)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
HeaderList: TypeAlias = list[tuple[bytes, bytes]]

COMPLETE = "perfmw.complete"
"""Key of a last body message whose sender vouches that the response is complete, Content-Length or not."""
COVERED = "perfmw.covered"
"""Key of the scope of a request that a stored response answers should the app fail."""
MUST_REVALIDATE = "perfmw.must-revalidate"
"""Key of the scope of a request for whose stale response nothing may stand in (RFC 9111 section 5.2.2.2)."""
REFUSED = "perfmw.refused"
"""Key of a response's first message by which perfmw turns a request away; says why."""
BACKGROUND = "perfmw.background"
"""Key of the scope of a request that perfmw makes by itself: it waits for nobody, and nobody for it."""
