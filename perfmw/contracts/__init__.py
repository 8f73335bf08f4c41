"""Protocols and value types that plugins implement or are handed. No I/O, no third-party imports."""

from perfmw.contracts.caching import *  # noqa: F403
from perfmw.contracts.profiles import *  # noqa: F403
from perfmw.contracts.protocols import *  # noqa: F403
from perfmw.contracts.resources import *  # noqa: F403
from perfmw.contracts.snapshot import *  # noqa: F403
