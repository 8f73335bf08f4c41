"""What the dashboard asks of a Runtime; a test may stand in with anything that has these names."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from perfmw.contracts import (
    Alert,
    DashboardPanel,
    Measurement,
    OptimizationOpportunity,
    OptimizationRequest,
    Overview,
    RuntimeSnapshot,
)
from perfmw.settings import Settings

if TYPE_CHECKING:
    from perfmw.profiles import ProfileStore
    from perfmw.profiles.management import ProfileManager
    from perfmw.profiles.tracing import RequestTracing
    from perfmw.runtime.flames import HostFlames


class LedgerLine(Protocol):
    """An entry of ``perfmw.optimization.Ledger``."""

    @property
    def id(self) -> int: ...
    @property
    def at(self) -> float: ...
    @property
    def kind(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def who(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def opportunity(self) -> OptimizationOpportunity: ...
    @property
    def improvement(self) -> float | None: ...
    @property
    def interval(self) -> tuple[float, float] | None: ...
    @property
    def before(self) -> Measurement | None: ...
    @property
    def after(self) -> Measurement | None: ...


class LedgerView(Protocol):
    """The ledger: its entries, the oldest first, and those whose change is in force."""

    def entries(self) -> Sequence[LedgerLine]: ...

    def kept(self) -> Sequence[LedgerLine]: ...


class Host(Protocol):
    """The part of ``perfmw.Runtime`` that the dashboard uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def plugins(self) -> Any: ...
    @property
    def ledger(self) -> LedgerView: ...
    @property
    def exporters(self) -> Mapping[str, Any]: ...
    @property
    def panels(self) -> Sequence[DashboardPanel]: ...
    @property
    def alerts(self) -> Sequence[Alert]: ...

    @property
    def profiles(self) -> ProfileStore: ...
    @property
    def profile_manager(self) -> ProfileManager: ...
    @property
    def tracing(self) -> RequestTracing | None:
        """None where nobody wants spans."""

    @property
    def flames(self) -> HostFlames: ...

    def snapshot(self) -> RuntimeSnapshot: ...

    def overview(self) -> Overview: ...

    def optimization_state(self) -> Mapping[str, Any]: ...

    async def explain(
        self, url: str, *, method: str = "GET", headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> Mapping[str, Any]: ...

    def start_optimization(
        self, request: OptimizationRequest | None = None, profile_id: str | None = None
    ) -> Mapping[str, Any]:
        """Raises RuntimeError when a run is under way, KeyError for an unknown profile."""

    def cancel_optimization(self) -> object: ...

    async def rollback(self, entry_id: int) -> object:
        """Raises LookupError for an entry or an optimizer that is not there any more."""

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]: ...


RECENT: Final = 0.5
"""Seconds; the API tells of many routes no more up to date than this, as the timer counts once a second."""


@dataclass(slots=True)
class Snapshots:
    """Snapshots of the host, shared by readers that can bear one of ``max_age`` seconds ago.

    With a thousand profiles a snapshot takes milliseconds of the host's event loop, so what pages ask for
    again and again must not take a new one each time.
    """

    host: Host
    clock: Callable[[], float] = time.monotonic
    _taken: float = float("-inf")
    _last: RuntimeSnapshot | None = None

    def get(self, max_age: float = RECENT) -> RuntimeSnapshot:
        now = self.clock()
        if self._last is None or now - self._taken >= max_age:
            self._last, self._taken = self.host.snapshot(), now
        return self._last

    def forget(self) -> None:
        """Something was changed from here: whoever asks next is to see it."""
        self._last = None
