"""Jinja2 templates, when jinja2 is installed."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from perfmw import __version__
from perfmw.dashboard import figures
from perfmw.dashboard.auth import role_of
from perfmw.dashboard.context import Context
from perfmw.dashboard.details import vital_word
from perfmw.dashboard.headers import compressed
from perfmw.dashboard.origins import base_of
from perfmw.dashboard.problems import ProblemError
from perfmw.dashboard.streaming import Rest, streamed

with suppress(ImportError):  # jinja2, here already: this module is imported outside the event loop
    from perfmw.dashboard import compiled

if TYPE_CHECKING:
    from jinja2 import Environment

NEEDS_JINJA = (
    "The dashboard's pages need jinja2: pip install 'perfmw[cli]'. The API and /metrics work without it."
)


def load_templates() -> Environment | None:
    """The environment, with every value escaped; None when jinja2 is not installed."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        return None
    environment = Environment(
        loader=PackageLoader("perfmw.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=compiled.Kept(),
    )
    environment.globals.update(figures=figures, vital_word=vital_word, version=__version__)
    environment.filters["clock"] = _clock
    return environment


async def render(
    context: Context, request: Request, template: str, rest: Rest | None = None, **values: Any
) -> Response:
    """A page or a part of one. Raises ProblemError 501 without jinja2.

    :param rest: works out more values, once what comes before ``{{ flush }}`` was sent with ``values`` alone.
    """
    templates = context.templates
    if templates is None:
        raise ProblemError(501, NEEDS_JINJA)
    visitor = {"role": role_of(request.scope), "signed_in": request.scope.get("perfmw.signed_in", False)}
    theme = request.cookies.get("perfmw-theme")
    shown = {"base": base_of(request.scope), "theme": theme if theme in ("light", "dark") else None}
    page, first = await compiled.template(templates, template), {**shown, **visitor, **values}
    if rest is not None:
        return streamed(page, first, rest, request.headers)
    return compressed(HTMLResponse(page.render(first, flush="")), request.headers)


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
