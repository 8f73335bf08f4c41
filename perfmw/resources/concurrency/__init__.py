"""Adaptive concurrency limits: the algorithm, the mechanism and the measurement apart from each other."""

from perfmw.resources.concurrency.algorithms import Aimd, Gradient, LimitAlgorithm, Vegas, Window
from perfmw.resources.concurrency.limiter import ConcurrencyLimiter, Priority, Refusal, Ticket

__all__ = [
    "Aimd",
    "ConcurrencyLimiter",
    "Gradient",
    "LimitAlgorithm",
    "Priority",
    "Refusal",
    "Ticket",
    "Vegas",
    "Window",
]
