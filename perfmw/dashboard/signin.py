"""The page that asks for the token. Plain HTML, since it must work without a template engine."""

from __future__ import annotations

from html import escape

from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from perfmw.dashboard.origins import base_of

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in · perfmw</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="{base}static/signin.css"></head>
<body><main><h1>perfmw</h1><p role="status">{message}</p>
<form action="{base}login" method="post"><label for="token">Dashboard token</label>
<input id="token" type="password" name="token" autocomplete="off" required autofocus>
<button>Sign in</button></form>
<p class="hint">The server prints a sign-in URL when it starts. The token is the setting
<code>dashboard_token</code>, or <code>dashboard_read_token</code> to look only; without one, each process
makes its own.</p>
</main></body></html>
"""


def signin_page(scope: Scope, message: str = "This dashboard needs a token.") -> Response:
    """401 with the form."""
    headers = {
        "www-authenticate": 'Bearer realm="perfmw"',
        # under no-referrer a browser would say "Origin: null" when it sends the form
        "referrer-policy": "same-origin",
    }
    return HTMLResponse(PAGE.format(base=base_of(scope), message=escape(message)), 401, headers)
