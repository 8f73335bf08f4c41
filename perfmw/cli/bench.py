"""``perfmw bench``: an app with and without perfmw, measured in turns."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from perfmw.cli.children import Child, ChildError
from perfmw.cli.output import BAD_INPUT, Failure, Refusal, note, print_json, table

if TYPE_CHECKING:
    from perfmw.cli.benching import Comparison, Ratio, Server

_TITLES = {"p50": "median latency", "mean": "mean latency", "cpu_per_request": "processor time a request"}


@click.command()
@click.argument("app")
@click.option("--path", "paths", multiple=True, help="A path to ask for, more than once for several.")
@click.option(
    "--seconds", type=click.FloatRange(2, 3600), default=20.0, show_default=True, help="How long in all."
)
@click.option("--concurrency", type=click.IntRange(1, 256), default=4, show_default=True, help="At a time.")
@click.option("--factory", is_flag=True, help="APP is a callable that makes the app.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")
def bench(
    app: str, paths: tuple[str, ...], seconds: float, concurrency: int, factory: bool, as_json: bool
) -> None:
    """Measure APP (module:attribute) with and without perfmw, in turns.

    Both are served by uvicorn in processes of their own, with the settings of this directory. Short blocks of
    requests go to one or the other in random order, and every ratio has its 95% interval. Default path: /.
    """
    wrong = [path for path in paths if not path.startswith("/")]
    if wrong:
        raise Refusal(f'--path {wrong[0]!r} does not begin with "/"')
    with ExitStack() as stack:
        bare, wrapped = _servers(stack, app, factory=factory)
        progress = stack.enter_context(_progress())
        found = asyncio.run(_measure(bare, wrapped, paths or ("/",), seconds, concurrency, progress))
    if as_json:
        print_json(as_data(found, app, paths or ("/",), concurrency))
    else:
        click.echo(as_text(found))
        note(_advice(found))


def _servers(stack: ExitStack, app: str, *, factory: bool) -> tuple[Server, Server]:
    try:  # one after the other, so that what is wrong with the app is said once
        bare = _server(stack.enter_context(Child(app, factory=factory, bare=True)))
        return bare, _server(stack.enter_context(Child(app, factory=factory)))
    except ChildError as error:
        raise (Refusal if error.code == BAD_INPUT else Failure)(str(error)) from None


def _server(child: Child) -> Server:
    from perfmw.cli.benching import Server
    from perfmw.resources.others import processor_time

    origin = child.wait()
    return Server(origin, processor_time(child.pid))


async def _measure(
    bare: Server,
    wrapped: Server,
    paths: tuple[str, ...],
    seconds: float,
    concurrency: int,
    progress: Callable[[float], None],
) -> Comparison:
    from perfmw.cli.benching import Bench
    from perfmw.cli.wire import WireError

    measuring = Bench(bare, wrapped, paths, concurrency=concurrency, progress=progress)
    try:
        return await measuring.run(seconds)
    except (WireError, RuntimeError) as error:
        raise Failure(f"{error}; --path names another page") from None
    except ProcessLookupError:
        raise Failure("a server ended while it was measured; its output is above") from None


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """A bar on stderr where that is a terminal; yields what to tell the share that is done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measuring", total=1.0)
        yield lambda done: bar.update(task, completed=done)


def as_data(found: Comparison, app: str, paths: tuple[str, ...], concurrency: int) -> dict[str, Any]:
    """The result as JSON values: seconds, shares 0..1; ratios are wrapped over bare."""
    sides = {"bare": found.bare, "wrapped": found.wrapped}
    return {
        "app": app,
        "paths": list(paths),
        "concurrency": concurrency,
        "pairs": len(found.bare.blocks),
        "confidence": 0.95,
        **{
            name: {
                "requests": side.requests,
                "latency": side.quantiles(),
                "requests_per_cpu_second": side.per_cpu_second,
                "hit_rate": side.hits / side.requests if side.requests else None,
            }
            for name, side in sides.items()
        },
        "ratios": {name: _ratio_data(ratio) for name, ratio in found.ratios().items()},
    }


def _ratio_data(ratio: Ratio | None) -> dict[str, Any] | None:
    return None if ratio is None else {**asdict(ratio), "certain": ratio.certain}


def as_text(found: Comparison) -> str:
    """The result for people."""
    head = ("latency, ms", "p50", "p90", "p99", "p99.9", "requests/CPU s", "hits", "n")
    rows = []
    for name, side in (("without perfmw", found.bare), ("with perfmw", found.wrapped)):
        rate = side.per_cpu_second
        rows.append(
            [
                name,
                *(
                    "–" if seconds is None else f"{seconds * 1e3:.2f}"
                    for seconds in side.quantiles().values()
                ),
                "–" if rate is None else f"{rate:,.0f}",
                f"{side.hits / side.requests:.0%}" if side.requests else "–",
                f"{side.requests:,}",
            ]
        )
    lines = [f"{_TITLES[name]:<26}{_ratio_text(ratio)}" for name, ratio in found.ratios().items()]
    return "\n".join([table(head, rows, right=frozenset(range(1, 8))), "", "with perfmw, relative:", *lines])


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1e3:.2f}"


def _ratio_text(ratio: Ratio | None) -> str:
    if ratio is None:
        return "– (too few blocks; give it more --seconds)"
    told = f"{ratio.ratio:.3f} × (95%: {ratio.low:.3f} to {ratio.high:.3f})"
    return told if ratio.certain else f"{told}: no difference is shown"


def _advice(found: Comparison) -> str:
    hits = found.wrapped.hits / found.wrapped.requests if found.wrapped.requests else 0.0
    pairs = len(found.bare.blocks)
    served = f"{pairs} pairs of blocks; {hits:.0%} of the answers with perfmw came from its cache"
    return served if hits else f"{served}: this is its cost alone; `perfmw explain URL` tells why"
