"""Which URLs a warm-up may ask for: of its own site, by a plain GET, and never ever more of them. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote, urlsplit

LONGEST: Final = 2_048
MOST_PARAMETERS: Final = 8
QUERIES_OF_A_PATH: Final = 20
"""Distinct query strings of one path that are asked for: a calendar has no end."""
UNSAFE: Final = frozenset(
    {
        *("logout", "log-out", "log_out", "logoff", "signout", "sign-out", "sign_out", "delete", "remove"),
        *("destroy", "unsubscribe", "cancel", "purge", "flush", "shutdown", "checkout", "add-to-cart"),
    }
)
"""Segments and parameters of URLs that do something at some sites, though a GET must not."""
_KEPT = "/%:@!$&'()*+,;=~-._?"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class OriginError(ValueError):
    """What was given as an origin is none; the message says what one looks like."""


def origin_of(text: str) -> str:
    """``https://shop.example`` of an origin, whatever path comes behind it.

    :raises OriginError: it is no http or https URL with a host, or it names a user.
    """
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = None
    if not known or "@" in parts.netloc:
        raise OriginError(f"an origin looks like https://shop.example, not {text!r}")
    return f"{parts.scheme}://{parts.netloc.lower()}"


class Admission:
    """Decides about one candidate after the other, and remembers what has come before.

    :param origins: where the site is. Candidates without a host are of the first; other hosts are not the
        site's. Each is asked for by its own scheme, whatever a candidate says.
    :param closed: paths below which nothing is asked for, such as the dashboard's.
    :raises OriginError: see ``origin_of``.
    :raises ValueError: for no origin.
    """

    def __init__(self, *origins: str, closed: tuple[str, ...] = ()) -> None:
        if not origins:
            raise ValueError("a warm-up needs at least one origin")
        self._origins = {_bare_host(origin): origin for origin in map(origin_of, reversed(origins))}
        self.origin = origin_of(origins[0])
        self._closed = closed
        self._seen: set[str] = set()
        self._queries: dict[str, int] = {}

    def admit(self, candidate: str) -> tuple[str, str]:
        """The URL to ask for and "", or "" and the reason why not: a word.

        ``invalid``, ``off-host``, ``credentials``, ``too-long``, ``closed``, ``unsafe``, ``query`` (too many
        parameters, or too many queries of one path) or ``duplicate``.
        """
        origin, target, reason = self._target(candidate.strip())
        path, _, query = target.partition("?")
        if not reason:
            reason = self._path_problem(path) or _query_problem(query)
        url = origin + target
        if not reason and url in self._seen:
            reason = "duplicate"
        if not reason and query:
            self._queries[path] = self._queries.get(path, 0) + 1
            reason = "query" if self._queries[path] > QUERIES_OF_A_PATH else ""
        if reason:
            return "", reason
        self._seen.add(url)
        return url, ""

    def _target(self, text: str) -> tuple[str, str, str]:
        """Origin, path and query as they go on the wire, and what is wrong with them."""
        if not text or any(ord(char) < 32 for char in text):
            return "", "", "invalid"
        if len(text) > LONGEST:
            return "", "", "too-long"
        if _SCHEME.match(text) or text.startswith("//"):
            return self._of_url(text)
        return (self.origin, _wire(text), "") if text.startswith("/") else ("", "", "invalid")

    def _of_url(self, text: str) -> tuple[str, str, str]:
        try:
            parts = urlsplit(text)
            origin = self._origins.get(_bare_host(text), "")
        except ValueError:
            return "", "", "invalid"
        if parts.scheme not in ("http", "https", "") or not parts.hostname:
            return "", "", "invalid"
        if "@" in parts.netloc:
            return "", "", "credentials"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return origin, _wire(target), "" if origin else "off-host"

    def _path_problem(self, path: str) -> str:
        local = unquote(path)
        if any(local == closed or local.startswith(f"{closed}/") for closed in self._closed):
            return "closed"
        segments = [segment.lower() for segment in local.split("/")]
        return "unsafe" if not UNSAFE.isdisjoint(segments) else ""


def _bare_host(url: str) -> str:
    """The authority without what says nothing: upper case, and the port that the scheme has anyway."""
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    port = parts.port or default
    return f"{parts.hostname}:{'' if port in (80, 443) else port}"


def _wire(target: str) -> str:
    return quote(target.partition("#")[0], safe=_KEPT)


def _query_problem(query: str) -> str:
    if not query:
        return ""
    parts = query.split("&")
    if len(parts) > MOST_PARAMETERS:
        return "query"
    words = {unquote(word).lower() for part in parts for word in part.split("=", 1)}
    return "unsafe" if not UNSAFE.isdisjoint(words) else ""
