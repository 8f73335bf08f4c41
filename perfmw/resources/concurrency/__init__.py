"""Adaptive concurrency limits: the algorithm, the mechanism and the measurement apart from each other."""

from perfmw.resources.concurrency.algorithms import Aimd, Gradient, LimitAlgorithm, Vegas, Window
from perfmw.resources.concurrency.limiter import ConcurrencyLimiter, Priority, Refusal, Ticket
from perfmw.resources.concurrency.splits import Fair, Reserved, Split, Weighted, split_of

__all__ = [
    "Aimd",
    "ConcurrencyLimiter",
    "Fair",
    "Gradient",
    "LimitAlgorithm",
    "Priority",
    "Refusal",
    "Reserved",
    "Split",
    "Ticket",
    "Vegas",
    "Weighted",
    "Window",
    "split_of",
]
