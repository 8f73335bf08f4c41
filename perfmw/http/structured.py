"""Structured Fields (RFC 9651): dictionaries, as targeted Cache-Control fields carry them (RFC 9213)."""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache

from perfmw.http.fields import DELTA_MAX, FLAGS, MEMO_LONGEST, NUMBERS, QUALIFIED, CacheControl, names_in


class Token(str):
    """A structured token, told apart from a string."""

    __slots__ = ()


Item = bool | int | float | str | bytes
Value = Item | list[Item]

_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_NUMBER = re.compile(r"-?(?:[0-9]{1,12}\.[0-9]{1,3}|[0-9]{1,15})(?![0-9.])")
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
_BINARY = re.compile(r":([A-Za-z0-9+/=]*):")
_BOOLEAN = re.compile(r"\?([01])")
_DATE = re.compile(r"@(-?[0-9]{1,15})(?![0-9.])")
_DISPLAY = re.compile(r'%"((?:[ !#$&-~]|%[0-9a-f]{2})*)"')
_SPACE = re.compile(r" *")
_OWS = re.compile(r"[ \t]*")
_COMMA = re.compile(r"[ \t]*,[ \t]*")


class _MalformedError(ValueError):
    pass


def parse_dictionary(value: bytes) -> dict[str, Value] | None:
    """A structured dictionary without its parameters, or None when the field does not parse."""
    try:
        return _Parser(value.decode("ascii")).dictionary()
    except ValueError:
        return None


def targeted_control(value: bytes) -> CacheControl | None:
    """The directives of a targeted field; None when it is empty or malformed, and so to be ignored.

    RFC 9213 section 2.1. A directive whose value has the wrong type counts as invalid: 0 seconds.
    """
    return _remembered(value) if len(value) <= MEMO_LONGEST else _targeted(value)


def _targeted(value: bytes) -> CacheControl | None:
    members = parse_dictionary(value)
    if not members:
        return None
    control = CacheControl()
    for key, member in members.items():
        _apply(control, key.encode(), member)
    return control


_remembered = lru_cache(maxsize=256)(_targeted)


def _apply(control: CacheControl, name: bytes, member: Value) -> None:
    if name in NUMBERS:
        # bool is an int in Python, not in a structured field
        seconds = member if isinstance(member, int) and not isinstance(member, bool) else 0
        control.number(NUMBERS[name], max(0, min(seconds, DELTA_MAX)))
    elif member is False:
        return
    elif name in FLAGS:
        setattr(control, FLAGS[name], True)
    elif name in QUALIFIED:
        control.qualified(QUALIFIED[name], _field_names(member))


def _field_names(member: Value) -> tuple[bytes, ...]:
    items = member if isinstance(member, list) else [member]
    return tuple(name for item in items if isinstance(item, str) for name in names_in(item.encode()))


class _Parser:
    """Walks the text once; every method moves ``at`` forward or raises."""

    def __init__(self, text: str) -> None:
        self.text = text.strip(" ")
        self.at = 0

    def dictionary(self) -> dict[str, Value]:
        members: dict[str, Value] = {}
        while self.at < len(self.text):
            key = self.take(_KEY)[0]
            members.pop(key, None)  # the last occurrence counts, and takes its place in the order
            members[key] = self.member_value() if self.accept("=") else True
            self.parameters()
            if self.at == len(self.text):
                break
            self.take(_COMMA)
            if self.at == len(self.text):
                raise _MalformedError("trailing comma")
        return members

    def member_value(self) -> Value:
        return self.inner_list() if self.accept("(") else self.bare_item()

    def inner_list(self) -> Value:
        items: list[Item] = []
        self.take(_SPACE)
        while not self.accept(")"):
            items.append(self.bare_item())
            self.parameters()
            if not self.take(_SPACE)[0] and self.text[self.at : self.at + 1] != ")":
                raise _MalformedError("items of an inner list need a space between them")
        return items

    def parameters(self) -> None:
        while self.accept(";"):
            self.take(_SPACE)
            self.take(_KEY)
            if self.accept("="):
                self.bare_item()

    def bare_item(self) -> Item:
        first = self.text[self.at : self.at + 1]
        if first == '"':
            return re.sub(r"\\(.)", r"\1", self.take(_STRING)[1])
        if first == "?":
            return self.take(_BOOLEAN)[1] == "1"
        if first == ":":
            return _binary(self.take(_BINARY)[1])
        if first == "@":
            return int(self.take(_DATE)[1])
        if first == "%":
            return _display(self.take(_DISPLAY)[1])
        if first == "-" or first.isdigit():
            number = self.take(_NUMBER)[0]
            return float(number) if "." in number else int(number)
        return Token(self.take(_TOKEN)[0])

    def accept(self, character: str) -> bool:
        if self.text[self.at : self.at + 1] != character:
            return False
        self.at += 1
        return True

    def take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _MalformedError(f"unexpected text at {self.at}")
        self.at = found.end()
        return found


def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise _MalformedError("not base64") from error


def _display(text: str) -> str:
    raw = re.sub(r"%([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)
    return raw.encode("latin-1").decode("utf-8")
