"""CacheRules by path pattern: static ones in order, then those put in at run time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

from perfmw.settings import CacheRule

_REMEMBERED = 4096
_PIECE = re.compile(r"\*\*|\*|[^*]+")
# what proxies and frameworks may resolve differently from us: "." and ".." segments, however encoded
_DOT_SEGMENT = re.compile(rb"(?:/|%2f|%5c|\\)(?:\.|%2e){1,2}(?:/|%2f|%5c|\\|$)", re.IGNORECASE)
_WITHIN = rb"(?:(?!%2[fF])[^/])"


def compile_pattern(pattern: str) -> re.Pattern[bytes]:
    """``*`` matches within a segment (a whole segment: at least one character), ``**`` across segments."""
    out = b""
    for found in _PIECE.finditer(pattern):
        piece = found[0]
        if piece == "**":
            out += b".*"
        elif piece == "*":
            whole = pattern[: found.start()].endswith("/") and pattern[found.end() :][:1] in ("", "/")
            out += _WITHIN + (b"+" if whole else b"*")
        else:
            out += re.escape(quote(piece, safe="/%:@!$&'()+,;=~-._").encode())
    return re.compile(out, re.DOTALL)


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
        """The first rule whose methods and path fit; HEAD is GET. A path with dot segments fits none."""
        if not self._static and not self._dynamic:
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
