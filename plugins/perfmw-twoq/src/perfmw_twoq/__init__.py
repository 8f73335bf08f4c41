"""The 2Q eviction policy as a perfmw plugin; select it with ``Settings(eviction_policy="twoq")``."""

from __future__ import annotations

from collections.abc import Mapping

from perfmw import Settings, hookimpl
from perfmw.contracts import EvictionPolicyFactory
from perfmw_twoq.policy import TwoQPolicy

__version__ = "0.1.0"
__all__ = ["TwoQPolicy", "perfmw_register_eviction_policies"]

perfmw_api_version = 1


@hookimpl
def perfmw_register_eviction_policies(settings: Settings) -> Mapping[str, EvictionPolicyFactory]:
    return {"twoq": TwoQPolicy}
