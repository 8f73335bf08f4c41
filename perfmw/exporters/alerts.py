"""Alerts for OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfmw.contracts import Alert

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class OpenTelemetryChannel:
    """Tells an alert as a span ``perfmw.alert`` with an event of what happened, from its beginning on.

    It goes where the app's own spans go; without a tracer provider nowhere.
    """

    def __init__(self, name: str = "opentelemetry", provider: TracerProvider | None = None) -> None:
        self.name = name
        self._provider = provider

    async def send(self, alert: Alert) -> None:
        from opentelemetry import context, trace

        now = alert.resolved_at
        began = int(alert.raised_at * 1e9)
        attributes = attributes_of(alert)
        tracer = trace.get_tracer("perfmw.monitoring", tracer_provider=self._provider)
        # a trace of its own: an alert is no part of what happened to run at the time
        span = tracer.start_span(
            "perfmw.alert", context=context.Context(), start_time=began, attributes=attributes
        )
        moment = int(now * 1e9) if now is not None else None
        span.add_event(f"alert.{alert.stage}", attributes=attributes, timestamp=moment)
        if now is None and alert.severity == "high":
            span.set_status(trace.StatusCode.ERROR, alert.message)
        span.end(moment)


def attributes_of(alert: Alert) -> dict[str, Any]:
    """An alert as attributes of a span."""
    found = {
        "perfmw.alert.key": alert.key,
        "perfmw.alert.type": alert.type,
        "perfmw.alert.severity": alert.severity,
        "perfmw.alert.message": alert.message,
        "perfmw.alert.target": alert.target,
        "perfmw.alert.stage": alert.stage,
    }
    figures = {
        f"perfmw.alert.{name}": alert.details[name]
        for name in ("since", "confidence", "value", "limit", "ratio")
        if isinstance(alert.details.get(name), int | float)
    }
    return found | figures
