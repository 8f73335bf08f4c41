"""Built-in alert channels."""

from __future__ import annotations

import logging

from perfmw.contracts import Alert

LEVELS = {"low": logging.INFO, "medium": logging.WARNING, "high": logging.ERROR}


class LogChannel:
    """Writes alerts to the logger ``perfmw.alerts``: high as error, medium as warning, the rest as info."""

    name = "log"

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("perfmw.alerts")

    async def send(self, alert: Alert) -> None:
        if alert.resolved_at is not None:
            lasted = alert.resolved_at - alert.raised_at
            self._logger.info("resolved after %.0f s: %s", lasted, alert.message)
        else:
            self._logger.log(LEVELS[alert.severity], "%s: %s", alert.severity, alert.message)
