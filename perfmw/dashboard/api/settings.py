"""Settings with the origin of each value; secrets are not shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import PAGING, Context, Endpoint, page
from perfmw.dashboard.view import to_json
from perfmw.settings import Settings
from perfmw.settings.model import options


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting; ``origin`` says who gave it its value, ``doc`` what it is, ``text`` its value as a line."""

    name: str
    value: Any
    origin: str
    doc: str

    @property
    def text(self) -> str:
        return self.value if isinstance(self.value, str) else to_json(self.value).decode()


def setting_rows(settings: Settings) -> list[SettingRow]:
    """Every setting, by name, without secrets."""
    known = options()
    return [
        SettingRow(name, value, settings.origin(name), known[name].metadata["doc"])
        for name, value in sorted(settings.to_dict(redact=True).items())
    ]


async def list_settings(context: Context, request: Request) -> Response:
    return page(request, setting_rows(context.host.settings))


ENDPOINTS = (
    Endpoint("GET", "/settings", "Settings and where each value came from", list_settings, query=PAGING),
)
