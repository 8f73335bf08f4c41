"""Tokens, the roles they give, and the session cookies made from them.

Of a token only a hash is kept, by settings that hold one too: what leaks of the server's memory or of its
configuration signs nobody in. A session cookie is ``expiry.key.signature``. The key proves that its holder
knew the token, but the token cannot be had from it; the signature is made with the hash, so that whoever
steals a cookie cannot make it last longer. Nothing is stored: the cookie holds in every worker with the same
token in its settings.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from perfmw.dashboard.problems import ProblemError

Role = Literal["read", "operate"]
SESSION_SECONDS: Final = 12 * 3600
HASHED: Final = "hash:"


def session_key(token: str) -> bytes:
    """What a session proves to know; it does not tell the token."""
    return hmac.digest(token.encode("utf-8", "surrogateescape"), b"perfmw dashboard session", "sha256")


def hash_token(token: str) -> str:
    """A token as settings may hold it instead of itself, such as ``hash:8c5f…``."""
    return HASHED + hashlib.sha256(session_key(token)).hexdigest()


def _digest(token: str) -> bytes:
    """The hash of a token, or of what already is one."""
    hashed = token if token.startswith(HASHED) else hash_token(token)
    return bytes.fromhex(hashed.removeprefix(HASHED))


@dataclass(slots=True)
class Throttle:
    """Counts failed attempts a client: ``limit`` in ``window`` seconds, for the last ``clients`` ones."""

    limit: int = 10
    window: float = 60.0
    clients: int = 1_024
    _failures: OrderedDict[str, list[float]] = field(default_factory=OrderedDict)

    def blocked_for(self, client: str, now: float) -> float:
        """Seconds until the client may try again; 0.0 when it may now."""
        recent = [t for t in self._failures.get(client, ()) if now - t < self.window]
        return max(0.0, recent[-self.limit] + self.window - now) if len(recent) >= self.limit else 0.0

    def failed(self, client: str, now: float) -> None:
        recent = [t for t in self._failures.pop(client, []) if now - t < self.window]
        self._failures[client] = [*recent, now][-self.limit :]
        while len(self._failures) > self.clients:
            self._failures.popitem(last=False)


class Tokens:
    """Tells which role a token or a session has. ``tokens``: role -> token, or its hash."""

    def __init__(self, tokens: Mapping[Role, str], clock: Callable[[], float] = time.time) -> None:
        self._digests = {role: _digest(token) for role, token in tokens.items()}
        self._clock = clock
        self._throttle = Throttle()

    def role_of(self, given: str, client: str) -> Role | None:
        """The role of a token; None for a wrong one. Compared in constant time.

        Raises ProblemError 429 while the client has failed too often.
        """
        now = self._clock()
        wait = self._throttle.blocked_for(client, now)
        if wait > 0:
            detail = f"Too many wrong tokens from {client}; try again in {wait:.0f} s."
            raise ProblemError(429, detail, {"retry-after": str(int(wait) + 1)})
        role = self._role(session_key(given))
        if role is None:
            self._throttle.failed(client, now)
        return role

    def new_session(self, token: str) -> str:
        """The cookie for somebody who has given a right token. Raises KeyError for a wrong one."""
        key = session_key(token)
        role = self._role(key)
        if role is None:
            raise KeyError("token")
        expires = str(int(self._clock()) + SESSION_SECONDS)
        return f"{expires}.{key.hex()}.{self._sign(role, expires)}"

    def session(self, cookie: str) -> Role | None:
        """The role of a cookie; None for one that is forged, changed or too old."""
        expires, _, rest = cookie.partition(".")
        key, _, signature = rest.partition(".")
        try:
            role = self._role(bytes.fromhex(key))
        except ValueError:
            return None
        if role is None or not hmac.compare_digest(
            signature.encode("utf-8", "replace"), self._sign(role, expires).encode()
        ):
            return None
        return role if int(expires) > self._clock() else None

    def _role(self, key: bytes) -> Role | None:
        """All tokens are looked at, so that the time taken does not tell which one was nearly right."""
        digest = hashlib.sha256(key).digest()
        found = [role for role, known in self._digests.items() if hmac.compare_digest(digest, known)]
        return found[0] if found else None

    def _sign(self, role: Role, expires: str) -> str:
        message = b"perfmw dashboard session " + expires.encode("utf-8", "replace")
        return hmac.new(self._digests[role], message, hashlib.sha256).hexdigest()
