"""What the cache learns from the traffic. Pure: time and events are passed in; everything is bounded."""

from perfmw.learning.curves import MissRatioCurve
from perfmw.learning.workload import Workload

__all__ = ["MissRatioCurve", "Workload"]
