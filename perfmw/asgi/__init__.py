"""The mechanics of ASGI: tee a response, watch for disconnects, load an app by name, be a gateway.

``perfmw.asgi:app`` is the app named by ``PERFMW_TARGET``, wrapped, for any ASGI server and any number of
workers.
"""

from perfmw.asgi.served import TargetApp

app = TargetApp()

__all__ = ["TargetApp", "app"]
