"""Spans and profilers of one runtime: set up when somebody wants them, so that nobody else pays."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from perfmw.cache.tagging import collecting
from perfmw.runtime.accesslogs import AccessLogs

if TYPE_CHECKING:
    from perfmw.profiles.flame import Flame
    from perfmw.profiles.traces import Traces
    from perfmw.profiles.tracing import HostSpans, RequestTracing
    from perfmw.runtime.controls import RuntimeControls
    from perfmw.runtime.runtime import Runtime


class RuntimeSpans:
    """Keeps ``runtime.tracing`` as the settings and the host's instrumentation want it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._host: HostSpans | None = None
        self._serialising = False
        self._access_logs = AccessLogs()

    def watch(self) -> None:
        """Let the host's spans feed the profiles, if it has any by now. Cheap, to be asked again later."""
        runtime = self._runtime
        if self._attached() and runtime.tracing is None:
            runtime.tracing = self.new_tracing()
        if self._host is not None:
            self._host.tracing = runtime.tracing
        if runtime.tracing is not None:
            runtime.tracing.refresh()
            if runtime.tracing.ratio > 0.0 and runtime.started and not self._serialising:
                from perfmw.profiles.serialising import watch_serialising

                self._serialising = watch_serialising()

    def stop(self) -> None:
        """Take in no more of the host's spans, and leave its functions and logs as they were."""
        self._access_logs.restore()
        if self._host is not None:
            self._host.detach()
        if self._serialising:
            from perfmw.profiles.serialising import leave_serialising

            self._serialising = False
            leave_serialising()

    def _attached(self) -> bool:
        if self._host is None:
            if "opentelemetry.sdk.trace" not in sys.modules:
                return False
            from perfmw.profiles.tracing import HostSpans

            self._host = HostSpans(self._runtime.profiles, self._classifier(), _is_counted)
        return self._host.attach()

    def kept(self) -> Traces | None:
        """The kept traces, where somebody wants spans."""
        return self._runtime.tracing.traces if self._runtime.tracing is not None else None

    async def profile_route(self, route: str, requests: int, seconds: float, memory: bool = False) -> Flame:
        """See ``Runtime.profile_route``."""
        from perfmw.profiles.flames import FlameSession

        runtime = self._runtime
        tracing = runtime.tracing or self.new_tracing()
        if tracing.flames is not None:
            raise RuntimeError(f"{tracing.flames.route} is being profiled; wait for it")
        session = FlameSession(route, requests, memory)
        was, runtime.tracing, tracing.flames = runtime.tracing, tracing, session
        try:
            await asyncio.wait_for(session.done.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            tracing.flames = None
            session.close()
            if was is None and runtime.tracing is tracing and not (self._host and self._host.attached):
                runtime.tracing = None
        return session.flame()

    def new_tracing(self) -> RequestTracing:
        """Tracing as the settings ask for it; its spans go to the exporter that takes spans."""
        from perfmw.profiles.tracing import RequestTracing

        runtime, settings = self._runtime, self._runtime.settings
        tracing = RequestTracing(
            settings.trace_ratio,
            slow=settings.trace_slow or 4.0 * settings.apdex_t,
            store=runtime.profiles,
            foreign=settings.trace_with == "opentelemetry",
            lags=runtime.loop.lags,
        )
        for exporter in runtime.exporters.values():
            if hasattr(exporter, "span_processor"):
                tracing.processor = exporter.span_processor()
        return tracing

    def provide_ratio(self, controls: RuntimeControls) -> None:
        """Let the shares of requests that are traced, or have a line in the access log, be changed."""
        self._access_logs.provide(controls)

        def write(value: Any) -> None:
            tracing, ratio = self._runtime.tracing, float(value)
            if tracing is None or not 0.0 < ratio <= 1.0:
                raise ValueError(f"trace_ratio can not become {value!r}")
            tracing.ratio = ratio
            tracing.flames = tracing.flames  # the chance follows, unless a route is being profiled

        def read() -> float | None:
            return self._runtime.tracing.ratio if self._runtime.tracing is not None else None

        controls.provide("trace_ratio", read, write)

    def _classifier(self) -> Callable[[Any], Any] | None:
        plugins = self._runtime.plugins
        if not plugins.has("perfmw_classify_span"):
            return None
        return lambda span: plugins.ask("perfmw_classify_span", span=span)


def _is_counted() -> bool:
    """Whether a request that the middleware counts is with the app; servers may leave old ones behind."""
    collector = collecting()
    return collector is not None and not getattr(collector, "status", 0)
