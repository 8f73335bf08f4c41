"""What the dashboard asks of a Runtime; a test may stand in with anything that has these names."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from perfmw.contracts import Alert, DashboardPanel, OptimizationRequest, Overview, RuntimeSnapshot
from perfmw.settings import Settings


class Host(Protocol):
    """The part of ``perfmw.Runtime`` that the dashboard uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def plugins(self) -> Any: ...
    @property
    def ledger(self) -> Any: ...
    @property
    def exporters(self) -> Mapping[str, Any]: ...
    @property
    def panels(self) -> Sequence[DashboardPanel]: ...
    @property
    def alerts(self) -> Sequence[Alert]: ...

    def snapshot(self) -> RuntimeSnapshot: ...

    def overview(self) -> Overview: ...

    def optimization_state(self) -> Mapping[str, Any]: ...

    def start_optimization(self, request: OptimizationRequest | None = None) -> Mapping[str, Any]:
        """Raises RuntimeError when a run is under way."""

    def cancel_optimization(self) -> object: ...

    async def rollback(self, entry_id: str) -> bool: ...

    def spawn(self, coro: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]: ...


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

    def get(self, max_age: float = 0.0) -> RuntimeSnapshot:
        now = self.clock()
        if self._last is None or now - self._taken >= max_age:
            self._last, self._taken = self.host.snapshot(), now
        return self._last
