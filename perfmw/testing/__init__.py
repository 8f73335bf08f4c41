"""What a plugin author imports in tests: contract suites, an in-process client, a clock, sample values.

Subclass a suite, say how to make your implementation, and pytest collects it::

    class TestTwoQ(EvictionPolicyContract):
        def make(self, capacity):
            return TwoQPolicy(capacity)

Nothing here imports pytest; ``run_contract(TestTwoQ)`` runs a suite without it.
"""

from perfmw.testing.checks import Contract, ContractError, check, check_raises, run_contract
from perfmw.testing.client import Client, Exchange, Response, WebSocket
from perfmw.testing.clock import FakeClock
from perfmw.testing.eviction import EvictionPolicyContract, ModelCache
from perfmw.testing.layers import CacheLayerContract
from perfmw.testing.others import (
    AlertChannelContract,
    CodecContract,
    ExporterContract,
    OptimizerContract,
    RecordingControls,
    ResourcePoolContract,
)
from perfmw.testing.purgers import PurgerContract
from perfmw.testing.samples import (
    SAMPLE_TIME,
    sample_alert,
    sample_observation,
    sample_profile,
    sample_snapshot,
)

__all__ = [
    "SAMPLE_TIME",
    "AlertChannelContract",
    "CacheLayerContract",
    "Client",
    "CodecContract",
    "Contract",
    "ContractError",
    "EvictionPolicyContract",
    "Exchange",
    "ExporterContract",
    "FakeClock",
    "ModelCache",
    "OptimizerContract",
    "PurgerContract",
    "RecordingControls",
    "ResourcePoolContract",
    "Response",
    "WebSocket",
    "check",
    "check_raises",
    "run_contract",
    "sample_alert",
    "sample_observation",
    "sample_profile",
    "sample_snapshot",
]
