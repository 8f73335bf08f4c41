"""Profiles: what every request cost, by target.

A request touches only the recorder of its route (``recorder.py``, ``sketch.py``). The runtime's timer
calls ``ProfileStore.tick``, which cuts windows, learns baselines and keeps the series of the dashboard.
Everything that judges (``score``, ``trend``, ``baseline``, ``apdex``) is pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmw._lazy import lazily

if TYPE_CHECKING:
    from perfmw.profiles.covered import cover, mark_covered, uncover
    from perfmw.profiles.reading import Reading
    from perfmw.profiles.recorder import Recorder
    from perfmw.profiles.routes import Routes, route_of, route_template
    from perfmw.profiles.sketch import LatencySketch
    from perfmw.profiles.store import ProfileStore, SeriesPoint
    from perfmw.profiles.tracked import profile_id

__all__ = [
    "LatencySketch",
    "ProfileStore",
    "Reading",
    "Recorder",
    "Routes",
    "SeriesPoint",
    "cover",
    "mark_covered",
    "profile_id",
    "route_of",
    "route_template",
    "uncover",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "LatencySketch": "perfmw.profiles.sketch",
        "ProfileStore": "perfmw.profiles.store",
        "Reading": "perfmw.profiles.reading",
        "Recorder": "perfmw.profiles.recorder",
        "Routes": "perfmw.profiles.routes",
        "SeriesPoint": "perfmw.profiles.store",
        "cover": "perfmw.profiles.covered",
        "mark_covered": "perfmw.profiles.covered",
        "profile_id": "perfmw.profiles.tracked",
        "route_of": "perfmw.profiles.routes",
        "route_template": "perfmw.profiles.routes",
        "uncover": "perfmw.profiles.covered",
    },
)
