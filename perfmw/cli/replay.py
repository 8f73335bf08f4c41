"""``perfmw replay``: the requests of an access log, sent again over a real socket."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import click

from perfmw.cache.unpacking import open_unpacked
from perfmw.cli.accesslog import LogEntry, LogStats, read_log
from perfmw.cli.children import Child, ChildError
from perfmw.cli.logsite import ENV_LOG
from perfmw.cli.output import BAD_INPUT, FAILURE_FOUND, Failure, Refusal, print_json, table
from perfmw.cli.replaying import Course, Replay, ReplayResult, quantiles
from perfmw.cli.wire import Origin, WireClient, parse_origin

_QUANTILES = (0.5, 0.9, 0.95, 0.99, 1.0)
_NAMES = ("p50", "p90", "p95", "p99", "max")


class Servers(NamedTuple):
    """The server looked at, and the one without perfmw to compare with."""

    through: Origin
    beside: Origin | None


@click.command()
@click.argument("log", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option(
    "--target",
    required=True,
    metavar="APP|URL|sizes",
    help="What to send it to: module:app (served wrapped), the URL of a running server, or `sizes`, a site "
    "that answers every logged URL with a document of the logged status and size.",
)
@click.option("--factory", is_flag=True, help="The target is a callable that makes the app.")
@click.option("--compare", is_flag=True, help="Serve the app unwrapped too, and compare every answer.")
@click.option("--limit", type=click.IntRange(min=1), help="Send the first N log entries only.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="Keep the log's timing, this many times faster. Default: as fast as the answers come.",
)
@click.option("--concurrency", type=click.IntRange(1, 1000), default=8, show_default=True, help="At a time.")
@click.option("--json", "as_json", is_flag=True, help="Write the result to stdout as JSON.")
def replay(
    log: Path,
    target: str,
    factory: bool,
    compare: bool,
    limit: int | None,
    speed: float | None,
    concurrency: int,
    as_json: bool,
) -> None:
    """Replay the access LOG (common, combined or EPA format, also gzipped) and report how the cache did.

    GET and HEAD requests are sent, others counted. Broken lines are counted, skipped and reported. Requests
    that were answered 304 ask conditionally, with the validators seen before. Exit code 1 if a request failed
    or an answer differed.
    """
    if compare and "://" in target:
        raise Refusal("--compare needs an app to serve without perfmw; the target is a URL")
    stats = LogStats()
    with ExitStack() as stack:
        servers = _servers(stack, log, target, factory=factory, compare=compare)
        progress = stack.enter_context(_progress(_count_lines(log, limit)))
        entries = islice(read_log(log, stats), limit)
        result = asyncio.run(_replay(servers, entries, speed, concurrency, progress))
    if stats.lines and stats.broken == stats.lines:
        raise Refusal(
            f"{log}: no line is of the common or combined log format; line {stats.examples[0][0]}: "
            f"{stats.examples[0][1]}"
        )
    if as_json:
        print_json(as_data(result, stats, target))
    else:
        click.echo(as_text(result, stats, target))
    if result.failed:
        raise SystemExit(FAILURE_FOUND)


def _servers(stack: ExitStack, log: Path, target: str, *, factory: bool, compare: bool) -> Servers:
    if "://" in target:
        try:
            return Servers(parse_origin(target), None)
        except ValueError as error:
            raise Refusal(str(error)) from None
    app = "perfmw.cli.logsite:app" if target == "sizes" else target
    env = {ENV_LOG: str(log.resolve())}
    wrapped = stack.enter_context(Child(app, factory=factory, env=env))
    bare = stack.enter_context(Child(app, factory=factory, env=env, bare=True)) if compare else None
    try:
        return Servers(wrapped.wait(), bare.wait() if bare else None)
    except ChildError as error:
        raise (Refusal if error.code == BAD_INPUT else Failure)(str(error)) from None


async def _replay(
    servers: Servers,
    entries: Iterator[LogEntry],
    speed: float | None,
    concurrency: int,
    progress: Callable[[], None],
) -> ReplayResult:
    through = WireClient(servers.through)
    beside = WireClient(servers.beside) if servers.beside else None
    try:
        return await Replay(through, beside, speed=speed, progress=progress).run(entries, concurrency)
    finally:
        for client in (through, beside):
            if client is not None:
                client.close()


def _count_lines(log: Path, limit: int | None) -> int:
    try:
        with open_unpacked(log) as file:
            lines = sum(1 for _ in file)
    except (EOFError, OSError):
        return limit or 0  # reading it for real reports what is wrong
    return min(lines, limit) if limit else lines


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr where that is a terminal; yields what to call after each request."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:3], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("replaying", total=total or None)
        yield lambda: bar.advance(task)


def as_data(result: ReplayResult, stats: LogStats, target: str) -> dict[str, Any]:
    """The result as JSON values: durations in seconds, rates 0..1."""
    return {
        "target": target,
        "lines": stats.lines,
        "broken_lines": stats.broken,
        "broken_examples": [{"line": line, "reason": reason} for line, reason in stats.examples],
        "skipped_methods": result.other_methods,
        "requests": result.sent,
        "seconds": round(result.elapsed, 3),
        "hit_rate": result.hit_rate,
        "byte_hit_rate": result.byte_hit_rate,
        "cache_status": dict(result.outcomes.most_common()),
        "through_perfmw": _course_data(result.through),
        "without_perfmw": _course_data(result.beside) if result.beside.seconds else None,
        "errors": result.errors,
        "error_examples": result.error_examples,
        "mismatches": result.mismatches if result.beside.seconds else None,
        "mismatch_examples": result.mismatch_examples,
    }


def _course_data(course: Course) -> dict[str, Any]:
    return {
        "answers": len(course.seconds),
        "bytes": course.bytes,
        "statuses": {str(status): count for status, count in sorted(course.statuses.items())},
        "latency": dict(zip(_NAMES, quantiles(course.seconds, _QUANTILES), strict=True))
        if course.seconds
        else None,
    }


def as_text(result: ReplayResult, stats: LogStats, target: str) -> str:
    """The result for people."""
    rate = result.sent / result.elapsed if result.elapsed else 0.0
    lines = [
        f"{result.sent:,} requests replayed against {target} in {result.elapsed:.1f} s ({rate:,.0f}/s)",
        f"{stats.lines:,} lines read, {stats.broken:,} of them broken and skipped",
        *(f"  line {number:,}: {reason}" for number, reason in stats.examples),
        f"{result.other_methods:,} requests skipped for their method",
        f"hit rate      {_percent(result.hit_rate)} of requests, {_percent(result.byte_hit_rate)} of bytes",
        "cache status  " + (" · ".join(f"{word} {n:,}" for word, n in result.outcomes.most_common()) or "–"),
        "",
        _latency_table(result),
        "",
        f"errors        {result.errors:,}",
        *(f"  {example}" for example in result.error_examples),
    ]
    if result.beside.seconds:
        lines.append(f"mismatches    {result.mismatches:,} of {len(result.beside.seconds):,} answers")
        lines += [f"  {example}" for example in result.mismatch_examples]
    return "\n".join(lines)


def _latency_table(result: ReplayResult) -> str:
    courses = [("through perfmw", result.through), ("without perfmw", result.beside)]
    rows = [
        [
            name,
            *(f"{seconds * 1e3:.2f}" for seconds in quantiles(course.seconds, _QUANTILES)),
            f"{course.bytes:,}",
        ]
        for name, course in courses
        if course.seconds
    ]
    return table(["latency, ms", *_NAMES, "bytes"], rows, right=frozenset(range(1, 7)))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
