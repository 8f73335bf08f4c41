"""Exporters: snapshots in the formats of other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmw._lazy import lazily

if TYPE_CHECKING:
    from perfmw.exporters.json_lines import JsonExporter
    from perfmw.exporters.prometheus import PrometheusExporter
    from perfmw.exporters.statsd import StatsdExporter

__all__ = ["JsonExporter", "PrometheusExporter", "StatsdExporter"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "JsonExporter": "perfmw.exporters.json_lines",
        "PrometheusExporter": "perfmw.exporters.prometheus",
        "StatsdExporter": "perfmw.exporters.statsd",
    },
)
