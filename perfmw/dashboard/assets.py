"""Static files from memory, with an ETag and gzipped once.

A page's script is its module together with all that this imports: one request instead of a dozen, which on a
slow processor take longer than what they carry.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.headers import accepts_gzip
from perfmw.dashboard.problems import ProblemError

TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
SCRIPTS = ("overview.js", "page.js")
"""What the pages ask for."""
_IMPORT = re.compile(r'^import (?:\{ ([^}]+) \} from )?"\./([\w-]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function|const) (\w+))", re.MULTILINE)
_NOT_NEEDED = re.compile(r"^\s*//.*\n|^\s+", re.MULTILINE)


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
    bodies = {item.name: item.read_bytes() for item in files}
    sources = {name: body.decode() for name, body in bodies.items() if name.endswith(".js")}
    bodies.update((name, bundled(name, sources).encode()) for name in SCRIPTS)
    return {name: _asset(name, body) for name, body in bodies.items()}


def bundled(name: str, sources: Mapping[str, str]) -> str:
    """A module and all that it imports as one script, each once, in a scope of its own, after what it needs.

    Knows what our own modules use: imports by name of a neighbour at the top, exports where they are made.
    """
    done: dict[str, str] = {}

    def add(name: str) -> None:
        for _, needed in _IMPORT.findall(sources[name]):
            if f"{needed}.js" not in done:
                add(f"{needed}.js")
        done[name] = _scoped(name.removesuffix(".js"), sources[name])

    add(name)
    return "\n".join(done.values())


def _scoped(name: str, source: str) -> str:
    made = ", ".join(found[1] for found in _EXPORT.findall(source))
    body = _NOT_NEEDED.sub("", _EXPORT.sub(r"\1", _IMPORT.sub(_taken, source)))
    return f"const ${name} = (() => {{\n{body}return {{ {made} }};\n}})();"


def _taken(found: re.Match[str]) -> str:
    return f"const {{ {found[1]} }} = ${found[2]};\n" if found[1] else ""


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
