"""What is getting worse, and who is told. The detectors are pure: time is an argument."""

from perfmw.monitoring.alerts import AlertManager
from perfmw.monitoring.channels import LogChannel
from perfmw.monitoring.degradation import Finding, Tolerances, degradations
from perfmw.monitoring.watch import ProfileWatch

__all__ = ["AlertManager", "Finding", "LogChannel", "ProfileWatch", "Tolerances", "degradations"]
