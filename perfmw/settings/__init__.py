"""Settings: what a user may choose, where each value came from, and clear errors for bad ones.

A value is looked for in this order, and the first place that has it wins: a keyword of ``Settings(...)``,
the environment (``PERFMW_<NAME>``), ``perfmw.toml``, the table ``[tool.perfmw]`` of ``pyproject.toml``
(both in the working directory), the default. ``Settings.origin(name)`` tells which it was.
"""

from perfmw.settings.cdn import Cdn
from perfmw.settings.kinds import SettingsError, parse_duration, parse_size
from perfmw.settings.limits import Concurrency, Quota
from perfmw.settings.model import DashboardMode, Settings
from perfmw.settings.monitoring import Channel, Monitoring
from perfmw.settings.namespaces import Namespace
from perfmw.settings.rules import CacheRule

__all__ = [
    "CacheRule",
    "Cdn",
    "Channel",
    "Concurrency",
    "DashboardMode",
    "Monitoring",
    "Namespace",
    "Quota",
    "Settings",
    "SettingsError",
    "parse_duration",
    "parse_size",
]
