"""Exporters: snapshots in the formats of other tools."""

from perfmw.exporters.json_lines import JsonExporter
from perfmw.exporters.prometheus import PrometheusExporter
from perfmw.exporters.statsd import StatsdExporter

__all__ = ["JsonExporter", "PrometheusExporter", "StatsdExporter"]
