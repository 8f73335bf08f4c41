"""What is hidden from those who look into caches: secrets by their name, and addresses of people."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "********"
SECRET_HEADERS: Final = frozenset(
    {b"authorization", b"cookie", b"proxy-authorization", b"set-cookie", b"set-cookie2", b"x-api-key"}
)
_WORDS = r"token|secret|passw(?:or)?d|signature|api[-_]?key|credential|session"
_SECRET_HEADER = re.compile(rf"{_WORDS}|csrf|xsrf".encode(), re.IGNORECASE)
_SECRET_PARAMETER = re.compile(
    rf"(?P<name>(?:^|[?&;,({{\s])(?:[\w.-]*(?:{_WORDS})[\w.-]*|sig|key|auth|code|sid|jwt|otp))="
    r"(?P<value>[^&;,#}\s]*)",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"[^\s/?&=;:,<>()\"'@%]{1,64}(?:@|%40)(?!\dx\.)(?:[\w-]{1,63}\.){1,8}[a-z]{2,63}\b", re.IGNORECASE
)
"""An e-mail address; ``logo@2x.png`` is none."""


def hidden(text: str) -> str:
    """A key, tag or header's value without parameters that are secrets, and without e-mail addresses."""
    return _ADDRESS.sub(HIDDEN, _SECRET_PARAMETER.sub(lambda found: f"{found['name']}={HIDDEN}", text))


def is_secret(name: bytes) -> bool:
    """Whether a header's value is a secret, by its name."""
    return name.lower() in SECRET_HEADERS or _SECRET_HEADER.search(name) is not None


def shown_field(name: bytes, value: bytes, *, reveal: bool) -> str:
    """A header's value as it may be seen."""
    text = value.decode("latin-1")
    return text if reveal else HIDDEN if is_secret(name) else hidden(text)
