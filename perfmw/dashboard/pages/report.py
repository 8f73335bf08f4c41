"""The performance report to read or print; ``?download=1`` gives one file that needs no server."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.assets import asset_text
from perfmw.dashboard.context import Context, Handler
from perfmw.dashboard.periods import charts_of
from perfmw.dashboard.render import render
from perfmw.dashboard.report import gather


async def show(context: Context, request: Request) -> Response:
    report = gather(context.host, context.snapshots.get())
    download = request.query_params.get("download") == "1"
    style = asset_text("app.css") if download else ""
    response = await render(
        context, request, "report.html", report=report, style=style, charts=charts_of(report.course)
    )
    if download:
        response.headers["content-disposition"] = f'attachment; filename="{report.file_name}.html"'
    return response


PAGES: dict[str, Handler] = {"/report": show}
