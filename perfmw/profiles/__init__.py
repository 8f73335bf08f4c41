"""Profiles: what every request cost, by target.

A request touches only the recorder of its route (``recorder.py``, ``sketch.py``). The runtime's timer
calls ``ProfileStore.tick``, which cuts windows, learns baselines and keeps the series of the dashboard.
Everything that judges (``score``, ``trend``, ``baseline``, ``apdex``) is pure.
"""

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
