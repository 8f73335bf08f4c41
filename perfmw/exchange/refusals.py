"""Those turned away before the app: by which words they are known, and what turns them away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmw.asgi.types import ASGIApp
from perfmw.http.status import NAME

if TYPE_CHECKING:
    from perfmw.runtime.limits import Limits

OVERLOAD = "overload"
QUOTA = "quota"
REFUSALS = {reason: (b"cache-status", f"{NAME}; detail={reason}".encode()) for reason in (OVERLOAD, QUOTA)}
"""Cache-Status of those turned away, by reason: neither a hit nor forwarded."""


def limited(app: ASGIApp, limits: Limits | None) -> ASGIApp:
    """The app within the limits; the app itself where there are none."""
    if limits is None:
        return app
    from perfmw.exchange.limiting import Limited  # only those who want limits pay for them

    return Limited(app, limits)
