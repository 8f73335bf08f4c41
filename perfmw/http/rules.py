"""CacheRules by path pattern: static ones in order, then those put in at run time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

from perfmw.settings import CacheRule

_REMEMBERED = 4096
_LONGEST = 2048
"""Bytes of a path. Nobody names longer ones by a pattern, and remembering them would cost memory."""
_WILD = ("*", "**")
_PIECE = re.compile(r"\*\*|\*|[^*]+")
# what proxies and frameworks may resolve differently from us: "." and ".." segments, however encoded
_DOT_SEGMENT = re.compile(rb"(?:/|%2f|%5c|\\)(?:\.|%2e){1,2}(?:/|%2f|%5c|\\|$)", re.IGNORECASE)
_WITHIN = rb"(?:(?!%2[fF])[^/])"


def compile_pattern(pattern: str) -> re.Pattern[bytes]:
    """``*`` matches within a segment (a whole segment: at least one character), ``**`` across segments."""
    pieces = [found[0] for found in _PIECE.finditer(pattern)]
    wild = [place for place, piece in enumerate(pieces) if piece in _WILD]
    out = b""
    for place, piece in enumerate(pieces):
        if piece not in _WILD:
            out += _literal(piece)
            if place - 1 in wild and place + 1 in wild and _settled(pieces[place - 1], pieces[place + 1]):
                out += b")"
            continue
        following = pieces[place + 2] if place + 2 in wild and place + 1 not in wild else ""
        settled = bool(following) and _settled(piece, following)
        within = place + 1 == len(pieces) or pieces[place + 1].startswith("/")
        whole = within and place > 0 and pieces[place - 1].endswith("/")
        repeat = b".*" if piece == "**" else _WITHIN + (b"+" if whole else b"*")
        out += b"(?>" + repeat + b"?" if settled else repeat
    return re.compile(out, re.DOTALL)


def _settled(wild: str, following: str) -> bool:
    """Whether the first place where the text between two wildcards fits is as good as any later one.

    It is where the second one takes whatever the first one leaves. Then no other place has to be tried,
    and no path can make the match cost more than its length.
    """
    return following == "**" or wild == "*"


def _literal(piece: str) -> bytes:
    return re.escape(quote(piece, safe="/%:@!$&'()+,;=~-._").encode())


class RuleBook:
    """Finds the first rule for a method and raw path; remembers answers, so most lookups are one dict get."""

    def __init__(self, rules: Iterable[CacheRule] = ()) -> None:
        self._static = [_Compiled(rule) for rule in rules]
        self._dynamic: dict[str, _Compiled] = {}
        self._known: dict[tuple[str, bytes], CacheRule | None] = {}
        self._listeners: list[Callable[[], None]] = []
        self.active = {compiled.name for compiled in self._static}
        """Names of the rules in force; what was stored under another rule's TTL is not to be served."""

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called after every ``put`` and ``remove``."""
        self._listeners.append(listener)

    def __iter__(self) -> Iterator[CacheRule]:
        return (compiled.rule for compiled in (*self._static, *self._dynamic.values()))

    def __len__(self) -> int:
        return len(self._static) + len(self._dynamic)

    def match(self, method: str, path: bytes) -> CacheRule | None:
        """The first rule whose methods and path fit; HEAD is GET.

        A path with dot segments fits none, nor does one longer than 2048 bytes.
        """
        if (not self._static and not self._dynamic) or len(path) > _LONGEST:
            return None
        known = self._known
        try:
            return known[method, path]
        except KeyError:
            pass
        if len(known) >= _REMEMBERED:
            known.clear()
        rule = known[method, path] = self._find("GET" if method == "HEAD" else method, path)
        return rule

    def put(self, rule: CacheRule) -> None:
        """Add a rule at run time, or replace the one of the same name (its path, when it has none)."""
        compiled = _Compiled(rule)
        self._dynamic[compiled.name] = compiled
        self._changed()

    def remove(self, name: str) -> CacheRule | None:
        """Take a run-time rule out again; None when there is none of that name."""
        compiled = self._dynamic.pop(name, None)
        self._changed()
        return compiled.rule if compiled else None

    def _changed(self) -> None:
        self._known.clear()
        self.active.clear()
        self.active.update(compiled.name for compiled in (*self._static, *self._dynamic.values()))
        for listener in self._listeners:
            listener()

    def _find(self, method: str, path: bytes) -> CacheRule | None:
        if _DOT_SEGMENT.search(path):
            return None
        for compiled in (*self._static, *self._dynamic.values()):
            if method in compiled.methods and compiled.pattern.fullmatch(path):
                return compiled.rule
        return None


class _Compiled:
    __slots__ = ("methods", "name", "pattern", "rule")

    def __init__(self, rule: CacheRule) -> None:
        self.rule = rule
        self.name = rule.name or rule.path
        self.methods = frozenset(method.upper() for method in rule.methods)
        self.pattern = compile_pattern(rule.path)
