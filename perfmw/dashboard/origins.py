"""Where a request comes from: which machine, which page, under which name and prefix. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

FORWARDING: Final = frozenset(
    {"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"}
)
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def is_loopback_address(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def host_name(host: str) -> str:
    """The name in a Host header, without the port and in lower case; empty when there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine by ``localhost`` or a loopback literal."""
    name = host_name(host)
    return name == "localhost" or is_loopback_address(name)


def is_direct_loopback(scope: Scope, headers: Headers) -> bool:
    client = scope.get("client")
    hosts = headers.getlist("host")
    if not client or not is_loopback_address(client[0]) or len(hosts) != 1:
        return False
    forwarded = any(name in FORWARDING or name.startswith("x-forwarded") for name in headers)
    return not forwarded and is_loopback_host(hosts[0])


def public_host(headers: Headers, trusted: bool) -> str:
    """The authority that the browser asked for; a trusted proxy may tell it. Empty if that is not clear."""
    told = headers.getlist("x-forwarded-host") if trusted else []
    hosts = told or headers.getlist("host")
    return hosts[0].strip() if len(hosts) == 1 and "," not in hosts[0] else ""


def is_known_host(headers: Headers, trusted: bool, hosts: Iterable[str]) -> bool:
    """Whether the request names one host, and one of ``hosts`` if there are any (``*.example.org``)."""
    name = host_name(public_host(headers, trusted))
    wanted = [host.lower() for host in hosts]
    if not name or not wanted:
        return bool(name)
    return any(name.endswith(one[1:]) if one.startswith("*.") else name == one for one in wanted)


def is_same_origin(scope: Scope, headers: Headers, trusted: bool = False) -> bool:
    """Whether a browser says that our own page sent this (Sec-Fetch-Site and Origin, both if both come)."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site is not None
    own = _authority(f"{scope.get('scheme', 'http')}://{public_host(headers, trusted)}")
    return own is not None and _authority(origin) == own


def _authority(url: str) -> tuple[str, int | None] | None:
    """Host and port; the scheme's default port is none, since a proxy may have ended TLS before us."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return parts.hostname, None if port in (80, 443) else port


def client_of(scope: Scope, trusted: bool = False) -> str:
    """The client's address for counting failures; a whole IPv6 /64 counts as one client."""
    client = scope.get("client")
    address = client[0] if client else "unknown"
    told = Headers(scope=scope).getlist("x-forwarded-for") if trusted else []
    if told:  # the last one is what our own proxy saw; those before are what it was told
        address = told[-1].rpartition(",")[2].strip()
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return str(address)[:64]
    if ip.version == 6 and getattr(ip, "ipv4_mapped", None) is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def is_https(scope: Scope, headers: Headers, trusted: bool) -> bool:
    told = headers.get("x-forwarded-proto", "") if trusted else ""
    return (told.strip().lower() or scope.get("scheme")) == "https"


def local_path(scope: Scope) -> str:
    """The path below ``root_path``, as Starlette's Mount leaves it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :]
    return path


def base_of(scope: Scope) -> str:
    """The relative URL of the dashboard's first page, which holds behind any prefix."""
    return "../" * (local_path(scope).count("/") - 1) or "./"


class ForwardedPrefix:
    """Puts what a trusted proxy took off the path, ``X-Forwarded-Prefix``, in front of ``root_path``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = Headers(scope=scope).getlist("x-forwarded-prefix") if scope["type"] == "http" else []
        prefix = told[0].strip().rstrip("/") if len(told) == 1 else ""
        if _PREFIX.fullmatch(prefix) and len(prefix) <= 200:
            root = prefix + scope.get("root_path", "")
            scope = {**scope, "root_path": root, "path": root + local_path(scope)}
        await self.app(scope, receive, send)
