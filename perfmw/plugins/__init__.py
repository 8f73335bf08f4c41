"""Plugins: found by entry point or handed over, checked, and asked once for what they name.

A plugin with a problem is named in one line of the log and left out whole; the others load, and the host
app starts. The rules:

- Built-ins come first, then installed plugins by name, then those passed in code. Of two that claim one
  name the later is left out, so nobody replaces a built-in by accident. Request hooks are asked in the
  opposite order: what the application passes in has the first say.
- ``Settings.plugins`` is an allow-list of installed plugins (by entry point name); one that is not on it
  is not even imported.
- Hooks are plain functions. A hook wrapper or a coroutine function is refused: perfmw answers for each
  plugin on its own, and calls none of them from an event loop it could block.
"""

from perfmw.plugins.manager import ENTRY_POINT_GROUP, Plugins
from perfmw.plugins.registry import ARGUMENT, BUILT_IN, INSTALLED, PluginInfo, PluginProblem, Registry

__all__ = [
    "ARGUMENT",
    "BUILT_IN",
    "ENTRY_POINT_GROUP",
    "INSTALLED",
    "PluginInfo",
    "PluginProblem",
    "Plugins",
    "Registry",
]
