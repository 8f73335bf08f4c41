"""``perfmw.asgi:app`` as a plain global.

For hypercorn, which looks into a module's namespace and never asks its ``__getattr__``.
"""

from __future__ import annotations

import perfmw.asgi

app = perfmw.asgi.__getattr__("app")
