"""What is getting worse, and who is told. The detectors are pure: time is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmw._lazy import lazily

if TYPE_CHECKING:
    from perfmw.monitoring.alerts import AlertManager
    from perfmw.monitoring.anomaly import AnomalyDetector
    from perfmw.monitoring.changes import Change, ChangeDetector
    from perfmw.monitoring.channels import LogChannel
    from perfmw.monitoring.degradation import Finding, Tolerances, degradations
    from perfmw.monitoring.watch import ProfileWatch

__all__ = [
    "AlertManager",
    "AnomalyDetector",
    "Change",
    "ChangeDetector",
    "Finding",
    "LogChannel",
    "ProfileWatch",
    "Tolerances",
    "degradations",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "AlertManager": "perfmw.monitoring.alerts",
        "AnomalyDetector": "perfmw.monitoring.anomaly",
        "Change": "perfmw.monitoring.changes",
        "ChangeDetector": "perfmw.monitoring.changes",
        "Finding": "perfmw.monitoring.degradation",
        "LogChannel": "perfmw.monitoring.channels",
        "ProfileWatch": "perfmw.monitoring.watch",
        "Tolerances": "perfmw.monitoring.degradation",
        "degradations": "perfmw.monitoring.degradation",
    },
)
