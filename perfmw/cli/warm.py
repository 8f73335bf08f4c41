"""``perfmw cache warm``: ask for URLs before anybody does."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from perfmw.cache.unpacking import open_unpacked
from perfmw.cli.accesslog import LogStats, read_log
from perfmw.cli.api import SERVER, TOKEN, Api
from perfmw.cli.cachetables import warm_up as as_text
from perfmw.cli.output import FAILURE_FOUND, Failure, Refusal, note, print_json
from perfmw.cli.unhurried import layers_of, losses
from perfmw.runtime.warming.admission import Admission, OriginError
from perfmw.runtime.warming.background import checked_headers
from perfmw.runtime.warming.documents import DocumentError, read_openapi, read_sitemap, unpacked, urls_of_list
from perfmw.runtime.warming.sources import Sources
from perfmw.runtime.warming.warmer import Answer, Bounds, Warmer

if TYPE_CHECKING:
    from perfmw.cli.wire import WireClient, WireResponse

MOST_BYTES = 50 * 1024 * 1024
_POLL = 0.2
_KINDS = ("urls", "sitemap", "openapi", "log")
Progress = Callable[[Mapping[str, Any]], None]
"""Is told the result as it is by now."""


class Wanted(NamedTuple):
    """What to warm up from: sources that the site knows, and URLs that were read here."""

    sources: list[str]
    urls: list[str]


@click.command()
@click.argument("source")
@click.option("--target", metavar="APP", help="An app, as module:app; its layers beyond memory are filled.")
@click.option("--factory", is_flag=True, help="The target is a callable that makes the app.")
@click.option("--site", "url", metavar="URL", help="A site; it is asked over HTTP, and its own host alone.")
@SERVER
@TOKEN
@click.option("--origin", help="Under which scheme and host visitors see the site.")
@click.option("-H", "--header", "headers", multiple=True, help="A field to send, as 'Name: value'.")
@click.option(
    "--limit", default=1_000, show_default=True, type=click.IntRange(1, 50_000), help="URLs in all."
)
@click.option("--concurrency", default=4, show_default=True, type=click.IntRange(1, 64), help="At a time.")
@click.option(
    "--rate", default=50.0, show_default=True, type=click.FloatRange(0.01, 10_000), help="A second."
)
@click.option(
    "--seconds", default=300.0, show_default=True, type=click.FloatRange(0.1, 3_600), help="In all."
)
@click.option("--json", "as_json", is_flag=True, help="Write the result to stdout as JSON.")
def warm(
    source: str,
    target: str | None,
    factory: bool,
    url: str | None,
    server: str | None,
    token: str | None,
    origin: str | None,
    headers: tuple[str, ...],
    as_json: bool,
    **bounds: Any,
) -> None:
    """Ask for the pages of SOURCE, so that the cache has them before visitors come.

    SOURCE is a file or - (stdin) with a URL or path a line, a sitemap, an OpenAPI document or an access log,
    told by their contents or as urls:, sitemap:, openapi: or log: before the name. sitemap:/sitemap.xml and
    openapi:/openapi.json are asked of the site itself. `hottest` are the keys read most, of this run and the
    one before.

    Only GET is sent, without credentials, to the site's own host. Exit code 1 if nothing could be asked for,
    something failed or it was stopped by Ctrl-C.
    """
    fields = _fields(headers)
    server = _unless_another_is_named(server, url, target)
    if [target, url, server].count(None) != 2:
        raise Refusal("say what to warm up, one of --url URL, --site URL and --target module:app")
    wanted = _wanted(source)
    chosen = Bounds(**bounds)
    with _progress(wanted, chosen) as progress:
        if server is not None:
            with Api(server, token) as api:
                result = _by_server(api, wanted, fields, origin, bounds, progress)
        elif url is not None:
            result = asyncio.run(_over_http(url, wanted, fields, chosen, progress))
        else:
            assert target is not None
            result = _in_process(target, factory, wanted, fields, origin, chosen, progress)
    if as_json:
        print_json(result)
    else:
        click.echo(as_text(result))
    if not result["asked"] and result["skipped"].get("off-host"):
        note("the URLs are of another host than the one asked; if it is the same site, say so with --origin")
    if result["failed"] or result["problems"] or not result["asked"] or result["stopped"] == "cancelled":
        raise SystemExit(FAILURE_FOUND)


def _unless_another_is_named(server: str | None, *others: str | None) -> str | None:
    """``--url``, without what the environment has for it where the command line names something else."""
    origin = click.get_current_context().get_parameter_source("server")
    return None if origin is ParameterSource.ENVIRONMENT and any(others) else server


# ---- what to ask for


def _wanted(source: str) -> Wanted:
    kind, colon, place = source.partition(":")
    if source == "hottest":
        return Wanted([source], [])
    if colon and kind in _KINDS:
        of_site = kind in ("sitemap", "openapi") and place.startswith(("/", "http://", "https://"))
        if of_site and not Path(place).is_file():
            return Wanted([source], [])
    else:
        kind, place = "", source
    urls = _read(kind, place)
    if not urls:
        raise Refusal(f"{'stdin' if place == '-' else place} names nothing that could be asked for")
    return Wanted([], urls)


def _read(kind: str, place: str) -> list[str]:
    """The URLs in a file or on stdin."""
    try:
        if place != "-" and (kind == "log" or (not kind and _looks_like_log(Path(place)))):
            return _hottest_of_log(Path(place))
        data = sys.stdin.buffer.read(MOST_BYTES) if place == "-" else Path(place).read_bytes()
        return _urls_of(kind, data)
    except OSError as error:
        hint = "" if kind or ":" not in place else "; SOURCE may begin with urls:, sitemap:, openapi: or log:"
        raise Refusal(f"{place} cannot be read: {error.strerror}{hint}") from None
    except DocumentError as error:
        raise Refusal(f"{place}: {error}") from None


def _looks_like_log(path: Path) -> bool:
    with open_unpacked(path) as file:
        stats = LogStats()
        head = [line for line in islice(file, 20) if line.strip()]
    from perfmw.cli.accesslog import parse_lines

    return bool(head) and sum(1 for _ in parse_lines(head, stats)) * 2 > len(head)


def _hottest_of_log(path: Path) -> list[str]:
    """GET targets that were answered with success, the most asked for first."""
    stats, counts = LogStats(), Counter[str]()
    for entry in read_log(path, stats):
        if entry.method == "GET" and (entry.status < 300 or entry.status == 304):
            counts[entry.target] += 1
    if stats.broken:
        note(f"{stats.broken:,} of {stats.lines:,} lines of {path} are broken and left out")
    return [target for target, _ in counts.most_common(50_000)]


def _urls_of(kind: str, data: bytes) -> list[str]:
    data = unpacked(data)
    start = data.lstrip()[:1]
    if kind == "sitemap" or (not kind and start == b"<"):
        pages, further = read_sitemap(data)
        if further:
            note(f"it lists {len(further):,} sitemaps, which are read as sitemap:/… of the site alone")
        return pages
    if kind == "openapi" or (not kind and start == b"{"):
        urls, without = read_openapi(data)
        if without:
            note(f"{without:,} GET operations need credentials or parameters that are not known")
        return urls
    return list(urls_of_list(data.decode("utf-8", "replace").splitlines()))


def _fields(headers: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    fields = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon:
            raise Refusal(f"--header {header!r} is not of the form 'Name: value'")
        fields.append((name.encode("latin-1", "replace"), value.encode("latin-1", "replace")))
    try:
        return checked_headers(fields)
    except ValueError as error:
        raise Refusal(str(error)) from None


# ---- a running server, through its API


def _by_server(
    api: Api,
    wanted: Wanted,
    fields: list[tuple[bytes, bytes]],
    origin: str | None,
    bounds: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    body = {"sources": wanted.sources, "urls": wanted.urls, **bounds}
    body["headers"] = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
    if origin is not None:
        body["origin"] = origin
    state = api.post("cache/warm", body)
    started = state["id"]
    try:
        while state["status"] == "running":
            progress(state["result"] or {})
            time.sleep(_POLL)
            state = api.get("cache/warm")
            if state.get("id") != started:
                raise Failure("another worker answers now; the warm-up goes on in the first one")
    except KeyboardInterrupt:
        note("stopping the warm-up")
        api.post("cache/warm/cancel", {})
        while (state := api.get("cache/warm"))["status"] == "running":
            time.sleep(_POLL)
    result: dict[str, Any] = state["result"]
    return result


# ---- a site, over HTTP


async def _over_http(
    url: str,
    wanted: Wanted,
    fields: list[tuple[bytes, bytes]],
    bounds: Bounds,
    progress: Progress,
) -> dict[str, Any]:
    from perfmw.cli.wire import WireClient, parse_origin

    if "hottest" in wanted.sources:
        raise Refusal("a site does not tell its hottest keys; use --url or --target")
    try:
        origin = parse_origin(url)
        admission = Admission(url)
    except (ValueError, OriginError) as error:
        raise Refusal(str(error)) from None
    async with WireClient(origin._replace(prefix=""), timeout=bounds.each) as client:
        asking = _Wire(client, fields)
        warmer = Warmer(asking.ask, admission, bounds, progress=lambda: progress(warmer.result.as_data()))
        reading = Sources(asking.fetch, Admission(url), (), warmer.result.problems)
        async with aclosing(reading.candidates(wanted.sources, wanted.urls)) as candidates:
            result = await warmer.run(candidates)
    return result.as_data()


class _Wire:
    """Asks a site over HTTP, and reads its Cache-Status (RFC 9211)."""

    def __init__(self, client: WireClient, fields: list[tuple[bytes, bytes]]) -> None:
        self._client = client
        self._fields = fields

    async def ask(self, url: str) -> Answer:
        from perfmw.cli.wire import WireError

        try:
            response = await self._client.get(_target(url), self._fields, keep=False)
        except WireError as error:
            return Answer("failed", str(error).partition(":")[0])
        return _answer(response)

    async def fetch(self, url: str) -> bytes:
        from perfmw.cli.wire import WireError

        try:
            response = await self._client.get(_target(url))
        except WireError as error:
            raise DocumentError(str(error)) from None
        if response.status != 200:
            raise DocumentError(f"it answered {response.status}")
        return response.body


def _target(url: str) -> str:
    return "/" + url.split("//", 1)[1].partition("/")[2]


def _answer(response: WireResponse) -> Answer:
    """The nearest cache that knows perfmw's ways says what became of a response."""
    if response.status >= 500:
        return Answer("failed", str(response.status), response.status, response.size)
    members = b", ".join(response.all(b"cache-status")).decode("latin-1").split(",")
    own = next((member for member in members if member.strip().startswith("perfmw;")), None)
    if own is None:
        return Answer("refused", "no Cache-Status of perfmw", response.status, response.size)
    parameters = [part.strip() for part in own.split(";")[1:]]
    values = dict(part.split("=", 1) for part in parameters if "=" in part)
    outcome: Any = "stored" if "stored" in parameters else "fresh" if "hit" in parameters else "refused"
    reason = values.get("detail", values.get("fwd", "unknown")).strip('"') if outcome == "refused" else ""
    if reason and response.status >= 300:
        reason = f"{reason} ({response.status})"
    return Answer(outcome, reason, response.status, response.size)


# ---- an app, in this process


def _in_process(
    target: str,
    factory: bool,
    wanted: Wanted,
    fields: list[tuple[bytes, bytes]],
    origin: str | None,
    bounds: Bounds,
    progress: Progress,
) -> dict[str, Any]:
    from perfmw.cli.loading import load

    app: Any = load(target, factory=factory)
    if app.runtime.spaces.all_memory:
        raise Refusal(
            "what would be cached is gone when this command ends: name a layer that stays in the setting "
            "layers, such as disk, or warm a running server up with --url URL"
        )
    return asyncio.run(_within_lifespan(app, wanted, fields, origin, bounds, progress))


async def _within_lifespan(
    app: Any,
    wanted: Wanted,
    fields: list[tuple[bytes, bytes]],
    origin: str | None,
    bounds: Bounds,
    progress: Progress,
) -> dict[str, Any]:
    from perfmw.testing import Client

    runtime = app.runtime
    layers = layers_of(runtime)
    async with Client(app):
        await runtime.caching.start()
        known = origin or runtime.settings.warm_up_origin
        try:
            runtime.warm_up.start(wanted.sources, wanted.urls, origin=known, headers=fields, bounds=bounds)
        except (RuntimeError, ValueError) as error:
            raise Refusal(f"{error}; see --origin" if known is None else str(error)) from None
        waiting = asyncio.ensure_future(runtime.warm_up.wait())
        while not waiting.done():
            await asyncio.wait([waiting], timeout=_POLL)
            progress(runtime.warm_up.state()["result"])
        result: dict[str, Any] = waiting.result()["result"]
    result["problems"] += losses(layers)
    return result


@contextmanager
def _progress(wanted: Wanted, bounds: Bounds) -> Iterator[Progress]:
    """A progress bar on stderr where that is a terminal; yields what to tell how far the warm-up is.

    It has an end where the URLs are known; a sitemap of the site, say, is read while it is asked.
    """
    if not sys.stderr.isatty():
        yield lambda result: None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("warming up"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
    )
    total = None if wanted.sources else min(len(wanted.urls), bounds.limit)
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("warming", total=total)
        yield lambda result: bar.update(task, completed=_done(result))


def _done(result: Mapping[str, Any]) -> int:
    """How many URLs are done with, by asking or by leaving them out."""
    return result.get("asked", 0) + sum(result.get("skipped", {}).values())  # type: ignore[no-any-return]
