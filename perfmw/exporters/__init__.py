"""Exporters: snapshots in the formats of other tools."""

from perfmw.exporters.json_lines import JsonExporter
from perfmw.exporters.prometheus import PrometheusExporter

__all__ = ["JsonExporter", "PrometheusExporter"]
