"""The dashboard: pages, a JSON API, an event stream and ``/metrics``, served inside the host's process.

``create_app(runtime)`` builds an ASGI app to be mounted at ``Settings.dashboard_path``; it costs nothing
while nobody looks. ``auth.py`` decides who may look. A page is one file in ``pages/``, an API resource one
file in ``api/``; what they show is computed without I/O in ``view.py`` and ``figures.py``.
"""

from perfmw.dashboard.app import create_app
from perfmw.dashboard.auth import login_url
from perfmw.dashboard.tokens import hash_token

__all__ = ["create_app", "hash_token", "login_url"]
