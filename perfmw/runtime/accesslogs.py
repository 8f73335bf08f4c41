"""Fewer lines in access logs: one of so many requests is written, failures always."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from perfmw.runtime.controls import RuntimeControls

ACCESS_LOGGERS: Final = ("uvicorn.access", "hypercorn.access", "gunicorn.access", "_granian.access")
"""Loggers of servers that write a line for each request."""
_STATUS: Final = ("s", "status", "status_code")
"""How servers call it whose records have their values by name: gunicorn and hypercorn; granian; others."""


class SampledLog(logging.Filter):
    """Lets a share of an access log's records pass, evenly; each tells it as ``perfmw_log_ratio``.

    Warnings, and records that tell of a status from 400 on, always pass.
    """

    def __init__(self, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio
        self._due = 1.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Cheap: it is called for every request."""
        if record.levelno >= logging.WARNING or _failed(record.args):
            return True
        self._due += self.ratio
        if self._due < 1.0:
            return False
        self._due -= 1.0
        record.perfmw_log_ratio = self.ratio
        return True


def _failed(args: Any) -> bool:
    """Whether a record's values have the status of a failure among them, a number or its digits."""
    if isinstance(args, Mapping):
        values: Iterable[Any] = [args[name] for name in _STATUS if name in args]
    else:
        values = args or ()
    return any(400 <= _number(value) <= 599 for value in values)


def _number(value: Any) -> int:
    if isinstance(value, str):
        return int(value) if len(value) == 3 and value.isdecimal() else 0
    return value if isinstance(value, int) else 0


def _writes(logger: logging.Logger) -> bool:
    return not logger.disabled and logger.isEnabledFor(logging.INFO) and logger.hasHandlers()


class AccessLogs:
    """The share of requests that the access logs of this process have a line for."""

    def __init__(self, names: Iterable[str] = ACCESS_LOGGERS) -> None:
        self._loggers = [logging.getLogger(name) for name in names]
        self._filter: SampledLog | None = None

    @property
    def ratio(self) -> float | None:
        """None where no line is written."""
        if not any(map(_writes, self._loggers)):
            return None
        return self._filter.ratio if self._filter is not None else 1.0

    @ratio.setter
    def ratio(self, value: float) -> None:
        """Raises ValueError for what is no share above 0."""
        if not 0.0 < value <= 1.0:
            raise ValueError(f"access_log_ratio can not become {value!r}")
        self.restore()
        if value < 1.0:
            self._filter = SampledLog(value)
            for one in self._loggers:
                one.addFilter(self._filter)

    def restore(self) -> None:
        """Every line is written again."""
        if self._filter is not None:
            for one in self._loggers:
                one.removeFilter(self._filter)
            self._filter = None

    def provide(self, controls: RuntimeControls) -> None:
        """Have ``set_option`` take ``access_log_ratio``."""

        def write(value: Any) -> None:
            self.ratio = float(value)

        controls.provide("access_log_ratio", lambda: self.ratio, write)
