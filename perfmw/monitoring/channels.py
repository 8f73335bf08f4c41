"""Built-in alert channels, and how settings make them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perfmw.contracts import Alert, AlertChannel
from perfmw.monitoring.cron import MaintenanceWindow, Schedule
from perfmw.settings import Channel, Monitoring, SettingsError, parse_duration

LEVELS = {"low": logging.INFO, "medium": logging.WARNING, "high": logging.ERROR}


class LogChannel:
    """Writes alerts to the logger ``perfmw.alerts``: high as error, medium as warning, the rest as info."""

    def __init__(self, logger: logging.Logger | None = None, name: str = "log") -> None:
        self.name = name
        self._logger = logger or logging.getLogger("perfmw.alerts")

    async def send(self, alert: Alert) -> None:
        if alert.resolved_at is not None:
            lasted = alert.resolved_at - alert.raised_at
            self._logger.info("resolved after %.0f s: %s", lasted, alert.message)
        else:
            self._logger.log(LEVELS[alert.severity], "%s: %s", alert.severity, alert.message)


def check_times(settings: Monitoring) -> None:
    """Raises SettingsError for a schedule or a maintenance window that never comes."""
    try:
        windows_of(settings.maintenance)
        if settings.reporting_schedule is not None:
            Schedule.parse(settings.reporting_schedule)
    except ValueError as error:
        raise SettingsError(f"monitoring: {error}") from None


def windows_of(texts: Sequence[str]) -> list[MaintenanceWindow]:
    """The maintenance windows of texts such as ``0 2 * * sun 2h``. Raises ValueError."""
    parted = [(text, *text.rsplit(None, 1)) for text in texts]
    return [
        MaintenanceWindow(Schedule.parse(line), parse_duration(span), text) for text, line, span in parted
    ]


def channels_of(
    settings: Mapping[str, Channel], others: Mapping[str, Callable[[str], AlertChannel]] | None = None
) -> dict[str, AlertChannel]:
    """The channels that settings name. Raises SettingsError for a secret that the environment lacks.

    :param others: makers of types that are at home elsewhere.
    """
    made = {}
    for name, channel in settings.items():
        try:
            maker = (others or {}).get(channel.type)
            made[name] = maker(name) if maker is not None else _made(name, channel)
        except ValueError as error:
            raise SettingsError(f"monitoring: channel {name!r}: {error}") from None
    return made


def _made(name: str, channel: Channel) -> AlertChannel:
    if channel.type == "log":
        return LogChannel(name=name)
    if channel.type == "email":
        return _mail(name, channel)
    from perfmw.monitoring.webhooks import EVENTS_URL, ChatChannel, PagerDutyChannel, WebhookChannel

    url, secret = channel.reveal("url"), channel.reveal("secret")
    if channel.type == "slack":
        return ChatChannel(name, url, channel.timeout)
    if channel.type == "pagerduty":
        return PagerDutyChannel(name, secret, url or EVENTS_URL, channel.timeout)
    return WebhookChannel(name, url, secret, channel.timeout)


def _mail(name: str, channel: Channel) -> AlertChannel:
    from perfmw.monitoring.mail import MailChannel

    security: Any = channel.security
    return MailChannel(
        name,
        channel.host or "",
        channel.sender or "",
        channel.to,
        port=channel.port,
        security=security,
        username=channel.username or "",
        password=channel.reveal("password"),
        timeout=channel.timeout,
    )
