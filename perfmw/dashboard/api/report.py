"""The performance report as JSON: everything the dashboard knows at one moment, as a download."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import Context, Endpoint, answer
from perfmw.dashboard.report import gather


async def get_report(context: Context, request: Request) -> Response:
    report = gather(context.host, context.snapshots.get())
    response = answer(request, report)
    response.headers["content-disposition"] = f'attachment; filename="{report.file_name}.json"'
    return response


ENDPOINTS = (Endpoint("GET", "/report", "The performance report", get_report),)
