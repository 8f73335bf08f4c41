"""Cache-Status values (RFC 9211)."""

from __future__ import annotations

import re
from functools import lru_cache

NAME = "perfmw"
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")


@lru_cache(maxsize=4096)
def hit(ttl: int, detail: str = "") -> bytes:
    """``perfmw; hit; ttl=42``; a negative ttl says how long it has been stale."""
    return f"{NAME}; hit; ttl={ttl}{_detail(detail)}".encode()


@lru_cache(maxsize=4096)
def forwarded(
    fwd: str,
    *,
    stored: bool = False,
    collapsed: bool = False,
    fwd_status: int | None = None,
    ttl: int | None = None,
    detail: str = "",
) -> bytes:
    """``perfmw; fwd=uri-miss; stored``, ``perfmw; fwd=bypass; detail=cookie``.

    :param fwd: bypass, method, uri-miss, vary-miss, miss, request, stale or partial (section 2.2).
    """
    text = f"{NAME}; fwd={fwd}"
    if fwd_status is not None:
        text += f"; fwd-status={fwd_status}"
    if ttl is not None:
        text += f"; ttl={ttl}"
    text += "; stored" * stored + "; collapsed" * collapsed
    return (text + _detail(detail)).encode()


def _detail(detail: str) -> str:
    if not detail:
        return ""
    if _TOKEN.fullmatch(detail):
        return f"; detail={detail}"
    printable = "".join(c if " " <= c <= "~" else "?" for c in detail)
    return '; detail="' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
