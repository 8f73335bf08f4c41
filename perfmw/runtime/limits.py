"""What of a request is limited: its group and priority by path, the quotas it counts for, and for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from re import Pattern
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from perfmw.asgi.types import Scope
from perfmw.http.rules import compile_pattern
from perfmw.profiles.paths import PathNames
from perfmw.resources.concurrency import Priority
from perfmw.runtime.gate import Gate
from perfmw.runtime.principals import principal_of
from perfmw.runtime.turns import Turns
from perfmw.settings import Settings

if TYPE_CHECKING:
    from perfmw.cache.layers import FarLayer
    from perfmw.plugins import Plugins
    from perfmw.runtime.quotas import QuotaBook, QuotaCount

DEFAULT_GROUP = "default"
_REMEMBERED = 4096
_LONGEST = 2048
_COMPONENTS = 1000
_SAFE = "/%:@!$&'()+,;=~-._"
OTHER = "other"
_WORDS = {one.name.lower(): one for one in Priority}


@dataclass(frozen=True, slots=True)
class Place:
    """What holds for a path. ``gate`` is None where nothing is ever refused for want of capacity."""

    gate: Gate | None
    priority: Priority
    quotas: Sequence[QuotaCount]
    component: str


class Limits:
    """The limits of one runtime. Paths are looked at as the app sees them, so that none is spelt around.

    :param layers: what processes share, for quotas that are counted together.
    :raises SettingsError: a shared quota without such a layer.
    """

    def __init__(self, settings: Settings, plugins: Plugins, layers: Sequence[FarLayer] = ()) -> None:
        self.mode = settings.concurrency_limit
        self.quotas = _quotas(settings, layers)
        self._plugins = plugins
        self.asks = plugins.has("perfmw_request_priority")
        turns = Turns()
        bounds = settings.concurrency
        self.strategy = bounds.strategy
        names = dict.fromkeys((DEFAULT_GROUP, *bounds.groups.values()))
        self.gates = {name: Gate(name, bounds, turns) for name in names}
        self.fair = self.mode != "off" and bounds.strategy == "fair"
        """Whether it matters who asks."""
        self._headers = [name.encode() for name in settings.principal_headers]
        self._groups = _compiled(bounds.groups)
        self._priorities = _compiled(settings.request_priorities)
        self._exempt = _compiled(dict.fromkeys(settings.limits_exempt, ""))
        self._components = PathNames(_COMPONENTS, OTHER)
        self._known: dict[tuple[str, str], Place] = {}
        self._components_seen: set[tuple[str, str]] = set()
        self.refused_at = float("-inf")
        """When a request was last turned away for want of capacity (``perf_counter``)."""
        self.porter: Any = None
        """Who refuses before the server parses, if anybody does."""

    def place(self, scope: Scope) -> Place:
        """What holds for a request; one look-up for paths seen before."""
        key = scope["method"], scope["path"]
        try:
            return self._known[key]
        except KeyError:
            return self._find(*key)

    def seen(self, method: str, path: str) -> Place | None:
        """What holds for a path, if requests of its kind have come this far; None if it may be another's.

        A door stands before the whole server, and what perfmw wraps may be a part of what that serves.
        """
        place = self._known.get((method, path))
        if place is None and (method, self._components.name(path)) in self._components_seen:
            place = self._find(method, path)
        return place

    def _find(self, method: str, path: str) -> Place:
        canonical = quote(path, safe=_SAFE).encode()
        exempt = _match(self._exempt, canonical) is not None
        group = _match(self._groups, canonical) or DEFAULT_GROUP
        quotas = self.quotas.for_request(method, canonical, exempt) if self.quotas is not None else ()
        place = Place(
            None if exempt or self.mode == "off" else self.gates[group],
            _WORDS[_match(self._priorities, canonical) or "normal"],
            quotas,
            self._components.name(path),
        )
        if place.component != OTHER:
            self._components_seen.add((method, place.component))
        if len(path) <= _LONGEST and len(method) <= 10:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[method, path] = place
        return place

    def who(self, scope: Scope) -> str:
        """Whom a place is for, where they are shared fairly."""
        return principal_of(scope, self._headers) if self.fair else ""

    def priority(self, place: Place, request: Any) -> Priority:
        """The class of a request: by a plugin where one says so, else by its path."""
        word = self._plugins.ask("perfmw_request_priority", request=request)
        return _WORDS.get(word, place.priority) if isinstance(word, str) else place.priority

    def state(self) -> dict[str, Any]:
        """What is limited and refused, as JSON values."""
        return {
            "mode": self.mode,
            "strategy": self.strategy,
            "groups": [gate.row() for gate in self.gates.values()] if self.mode != "off" else [],
            "quotas": self.quotas.rows() if self.quotas is not None else [],
        }


def _quotas(settings: Settings, layers: Sequence[FarLayer]) -> QuotaBook | None:
    if not settings.quotas:
        return None
    from perfmw.runtime.quotas import QuotaBook

    return QuotaBook(settings, layers)


def _compiled(table: Mapping[str, str]) -> list[tuple[Pattern[bytes], str]]:
    return [(compile_pattern(path), word) for path, word in table.items()]


def _match(table: Sequence[tuple[Pattern[bytes], str]], path: bytes) -> str | None:
    if len(path) > _LONGEST:
        return None
    return next((word for pattern, word in table if pattern.fullmatch(path)), None)
