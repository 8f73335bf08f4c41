"""Static files from memory, with an ETag and gzipped once."""

from __future__ import annotations

import functools
import gzip
import hashlib
from dataclasses import dataclass
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.headers import accepts_gzip
from perfmw.dashboard.problems import ProblemError

TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    zipped: bytes
    etag: str
    media_type: str


@functools.cache
def assets() -> dict[str, Asset]:
    """Every static file by its name; read at the first request for one."""
    folder = resources.files("perfmw.dashboard") / "static"
    files = [item for item in folder.iterdir() if item.name.rpartition(".")[2] in TYPES]
    return {item.name: _asset(item.name, item.read_bytes()) for item in files}


def _asset(name: str, body: bytes) -> Asset:
    etag = hashlib.sha256(body).hexdigest()[:20]
    return Asset(body, gzip.compress(body, 9, mtime=0), etag, TYPES[name.rpartition(".")[2]])


def asset_text(name: str) -> str:
    return assets()[name].body.decode()


async def serve_asset(request: Request) -> Response:
    """The file, or 304 when the client has it. ``no-cache``: kept, but asked for again after an upgrade."""
    asset = assets().get(request.path_params["name"])
    if asset is None:
        raise ProblemError(404, f"There is no file {request.path_params['name']!r}.")
    zipped = accepts_gzip(request.headers)
    etag = f'"{asset.etag}{"-gz" if zipped else ""}"'
    headers = {"etag": etag, "cache-control": "no-cache", "vary": "accept-encoding"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    if zipped:
        headers["content-encoding"] = "gzip"
    return Response(asset.zipped if zipped else asset.body, headers=headers, media_type=asset.media_type)
