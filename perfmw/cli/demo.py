"""``perfmw demo``: a sample shop, its visitors, one optimization, and what it changed."""

from __future__ import annotations

import asyncio
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import click

from perfmw.cli.children import ChildError
from perfmw.cli.output import FAILURE_FOUND, Failure, note, print_json, table
from perfmw.cli.showing import Demonstration, Phase, Shown, Stage
from perfmw.cli.wire import WireError

_SHORTEST = 10.0


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True, max=3600),
    default=60,
    show_default=True,
    envvar="PERFMW_DEMO_SECONDS",
    help="How long it takes in all; below 10 there is no room for an experiment, so it takes 10.",
)
@click.option("--no-browser", is_flag=True, envvar="PERFMW_NO_BROWSER", help="Do not open the dashboard.")
@click.option(
    "--json", "as_json", is_flag=True, help="Write the result to stdout as JSON, all else to stderr."
)
@click.option(
    "--stay/--no-stay",
    default=None,
    help="Keep the shop open until Ctrl-C when it is over. Default: when run in a terminal.",
)
def demo(seconds: float, no_browser: bool, as_json: bool, stay: bool | None) -> None:
    """Run a sample shop under real traffic, optimize it while it runs, and show before and after.

    The first line is the dashboard's URL. Everything runs on this machine, on free ports of 127.0.0.1, and
    ends with the command. Every answer is compared with that of the same shop without a cache. Exit code 1 if
    one differs, or a visitor got an error or a page made for somebody else.
    """
    deadline = perf_counter() + max(seconds, _SHORTEST)
    terminal = sys.stdout.isatty() and not as_json
    stay = terminal if stay is None else stay
    try:
        with Demonstration() as demonstration:
            demonstration.start()
            click.echo(demonstration.url, err=as_json)
            sys.stdout.flush()
            if terminal and not no_browser:
                webbrowser.open(demonstration.url)
            shown = asyncio.run(_show(demonstration, deadline, as_json=as_json, stay=stay))
    except (ChildError, WireError) as error:
        raise Failure(str(error)) from None
    if not shown.clean:
        raise SystemExit(FAILURE_FOUND)


async def _show(demonstration: Demonstration, deadline: float, *, as_json: bool, stay: bool) -> Shown:
    with _progress() as demonstration.on_stage:
        # a little is left for closing the shop
        shown = await demonstration.show(deadline - perf_counter() - 0.8, stay=stay)
    if as_json:
        print_json(as_data(shown, demonstration.url))
    else:
        click.echo(as_text(shown))
    if stay:
        note("The shop stays open. Ctrl-C closes it.")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            note("closing")
    return shown


@contextmanager
def _progress() -> Iterator[Callable[[Stage], None]]:
    """What is going on, on stderr: a live bar in a terminal, else a line a stage."""
    if not sys.stderr.isatty():
        yield _plain_progress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<18}"),
        BarColumn(),
        TextColumn("{task.fields[requests]:>6,} requests  {task.fields[detail]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def tell(stage: Stage) -> None:
            if stage.name not in tasks:
                tasks[stage.name] = bar.add_task(stage.name, total=1.0, requests=0, detail="")
            task = tasks[stage.name]
            bar.update(task, completed=stage.done, requests=stage.requests, detail=stage.detail)

        yield tell


def _plain_progress() -> Callable[[Stage], None]:
    told: set[tuple[str, str]] = set()

    def tell(stage: Stage) -> None:
        if (stage.name, stage.detail) not in told:
            told.add((stage.name, stage.detail))
            note(f"{stage.name}{': ' if stage.detail else ''}{stage.detail}")

    return tell


def as_data(shown: Shown, url: str) -> dict[str, Any]:
    """The result as JSON values: seconds, rates 0..1, calls counted and per 1,000 requests.

    Cacheable are requests without cookies for pages that are the same for all, and for more than a moment.
    """
    before, after = _phase_data(shown.before), _phase_data(shown.after)
    watch, twin = shown.watch, shown.twin
    return {
        "dashboard": url,
        "before": before,
        "after": after,
        "change": {name: _change(before[name], after[name]) for name in ("score", "p50", "p95", *_CALLS)},
        "optimizations": shown.steps,
        "personal_pages": {"checked": shown.personal_checked, "leaks": watch.leaks},
        "twin": {"compared": twin.checked, "different": twin.wrong, "not_compared": twin.waiting},
        "errors": watch.errors,
        "examples": [*watch.examples, *twin.examples],
    }


_CALLS = ("origin_calls_per_1000", "shop_calls_per_1000", "partner_calls_per_1000")


def _phase_data(phase: Phase) -> dict[str, Any]:
    tally, calls = phase.tally, phase.calls
    p50, p95 = tally.latency(0.5, 0.95)
    return {
        "seconds": round(tally.elapsed, 2),
        "requests": tally.requests,
        "score": phase.score,
        "apdex": tally.apdex,
        "p50": p50,
        "p95": p95,
        "hit_rate": tally.hit_rate,
        "cacheable_hit_rate": tally.cacheable_hit_rate,
        "cacheable": {
            kind: {"requests": count, "hits": tally.hits[kind]}
            for kind, count in tally.cacheable.most_common()
        },
        "cache_status": dict(tally.outcomes.most_common()),
        "origin_calls_per_1000": phase.origin_calls,
        "shop_calls_per_1000": phase.per_thousand(calls.shop),
        "partner_calls_per_1000": phase.per_thousand(calls.partner),
    }


def _change(before: float | None, after: float | None) -> float | None:
    """Relative change, -0.8 = 80% less."""
    return (after - before) / before if before and after is not None else None


def as_text(shown: Shown) -> str:
    """The result for people."""
    lines = ["", _comparison(shown), "", "What was tried, each switched on and off on the live traffic:"]
    lines += [_step_text(step) for step in shown.steps] or ["  nothing: no route was worth it yet"]
    watch, twin = shown.watch, shown.twin
    lines += [
        "",
        f"{shown.personal_checked:,} answers to signed-in visitors checked: "
        + (f"{watch.leaks:,} WERE MADE FOR SOMEBODY ELSE" if watch.leaks else "each was their own"),
        f"{twin.checked:,} answers compared with those of the same shop without a cache: "
        + (f"{twin.wrong:,} DIFFERED" if twin.wrong else "each was the same, byte for byte"),
    ]
    if watch.errors:
        lines.append(f"{watch.errors:,} requests failed")
    if twin.waiting:
        lines.append(f"{twin.waiting:,} answers were not compared: there was no time")
    return "\n".join([*lines, *(f"  {example}" for example in (*watch.examples, *twin.examples))])


def _comparison(shown: Shown) -> str:
    before, after = _phase_data(shown.before), _phase_data(shown.after)
    kinds: tuple[tuple[str, str, Callable[[float], str]], ...] = (
        ("performance score", "score", lambda value: f"{value:.0f}"),
        ("Apdex", "apdex", lambda value: f"{value:.2f}"),
        ("p50, ms", "p50", lambda value: f"{value * 1e3:.1f}"),
        ("p95, ms", "p95", lambda value: f"{value * 1e3:.1f}"),
        ("hit rate", "hit_rate", lambda value: f"{value:.0%}"),
        ("hit rate, cacheable requests", "cacheable_hit_rate", lambda value: f"{value:.0%}"),
        ("shop calls per 1,000 cacheable requests", "origin_calls_per_1000", lambda value: f"{value:.0f}"),
        ("shop calls per 1,000 requests", "shop_calls_per_1000", lambda value: f"{value:.0f}"),
        ("partner calls per 1,000 requests", "partner_calls_per_1000", lambda value: f"{value:.0f}"),
        ("requests per second", "rate", lambda value: f"{value:.0f}"),
    )
    for data in (before, after):
        data["rate"] = data["requests"] / data["seconds"] if data["seconds"] else None
    rows = [[title, _cell(before[name], show), _cell(after[name], show)] for title, name, show in kinds]
    return table(["", "before", "after"], rows, right=frozenset({1, 2}))


def _cell(value: float | None, show: Callable[[float], str]) -> str:
    return "–" if value is None else show(value)


def _step_text(step: dict[str, Any]) -> str:
    verdict = str(step.get("verdict", "")).replace("_", " ")
    return f"  {verdict:<12} {step['title']}: {step.get('reason', '')}"
