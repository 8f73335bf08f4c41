"""``perfmw simulate``: eviction policies and cache sizes on a recorded trace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from perfmw.cli.output import Refusal, note, print_json, table

if TYPE_CHECKING:
    from perfmw.cache.simulation import Access, Simulation
    from perfmw.contracts import WorkloadEvent

DEFAULT_ENTRIES = 1_000
DEFAULT_SHARES = 0.02, 0.1, 0.5
"""Of the bytes of all keys together, but as much as the largest: what is small depends on the trace."""
_STEP = 1_000
"""Accesses between two looks of the progress bar, which would cost more than they do."""


@click.command()
@click.argument("trace", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--policy", "policies", default="lru,s3fifo", show_default=True, help="Policies, by commas.")
@click.option(
    "--size",
    "sizes",
    default="",
    help='Sizes, by commas: 1000 or "64MiB".  [default: 1000, or with sizes 2%, 10% and 50% of all bytes]',
)
@click.option(
    "--by",
    type=click.Choice(["auto", "entries", "bytes"]),
    default="auto",
    show_default=True,
    help="What a size counts; auto: bytes where the trace tells sizes.",
)
@click.option(
    "--learn",
    type=click.Choice(["curve", "partition", "strategy", "prefetch", "patterns", "ttl"]),
    help="Instead: what is learned from it. Prefetch takes an access log, patterns, ttl and strategy do too.",
)
@click.option(
    "--changes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="For ttl: a CSV of keys and the unix seconds of their changes.",
)
@click.option(
    "--max-stale",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="For ttl and strategy: the share of reads that may be stale.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")
def simulate(
    trace: Path,
    policies: str,
    sizes: str,
    by: str,
    learn: str | None,
    changes: Path | None,
    max_stale: float,
    as_json: bool,
) -> None:
    """Run a key TRACE through the real memory layer for every policy and size.

    The trace has a key a line, or a key and a size in bytes, or is one of `perfmw record`; it may be gzipped.
    """
    if learn is not None:
        _tell(_learned(learn, trace, sizes, by, changes, max_stale), as_json=as_json)
        return
    accesses = [(event.key, event.size) for event in _read(trace)]
    unit: Literal["entries", "bytes"] = "bytes" if _counts_bytes(accesses, by) else "entries"
    results = list(_run(accesses, _names(policies), _sizes(sizes, accesses, unit), unit))
    if as_json:
        print_json([asdict(result) for result in results])
        return
    rows = [
        [
            one.policy,
            f"{one.size:,}",
            f"{one.hit_ratio:.2%}",
            f"{one.byte_hit_ratio:.2%}",
            f"{one.evictions:,}",
        ]
        for one in results
    ]
    click.echo(
        table(
            ("policy", f"size ({unit})", "hit ratio", "byte hit ratio", "evictions"),
            rows,
            right=frozenset({1, 2, 3, 4}),
        )
    )


def _learned(
    learn: str, trace: Path, sizes: str, by: str, changes: Path | None, max_stale: float
) -> dict[str, Any]:
    from perfmw.cli import rehearsing
    from perfmw.cli.config import load_settings
    from perfmw.runtime.economy import prices_of

    if learn == "prefetch":
        return rehearsing.prefetch(trace)
    if learn == "patterns":
        return rehearsing.patterns(_events(trace))
    if learn == "ttl":
        return rehearsing.ttl(_events(trace), changes, max_stale)
    if learn == "strategy":
        most = _sizes(sizes, [], "bytes")[0] if sizes else None
        return rehearsing.strategy(_events(trace), most, max_stale)
    events = _read(trace)
    accesses = [(event.key, event.size) for event in events]
    if learn == "partition":
        return rehearsing.partition(accesses, _sizes(sizes, accesses, "entries"))
    prices = prices_of(load_settings())
    sized = _counts_bytes(accesses, by)
    measured = _sizes(sizes, accesses, "bytes" if sized else "entries")
    return rehearsing.curve(events, measured, sized=sized, prices=prices)


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    words = found.pop("words")
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(words))


def _counts_bytes(accesses: list[Access], by: str) -> bool:
    return by == "bytes" or (by == "auto" and any(size != 1 for _, size in accesses))


def _run(
    accesses: list[Access], policies: list[str], sizes: list[int], by: Literal["entries", "bytes"]
) -> Iterator[Simulation]:
    from perfmw.cache.simulation import simulate as run
    from perfmw.cli.plugins import load_plugins

    known = load_plugins().eviction_policies
    for policy in policies:  # all before the first is run, which may take long
        if policy not in known:
            raise Refusal(f"--policy: {policy!r} is none; there are {', '.join(sorted(known))}")
    with _progress(len(accesses) * len(policies) * len(sizes)) as seen:
        for policy in policies:
            for size in sizes:
                try:
                    yield run(accesses, policy, size, by=by, policies=known, progress=seen)
                except ValueError as error:
                    raise Refusal(str(error)) from None
                if seen is None:
                    note(f"{policy} with {size:,} {by}: done")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None] | None]:
    """A bar on stderr where that is a terminal; yields what to call after each access."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task, done = bar.add_task("simulating", total=total), 0

        def seen() -> None:
            nonlocal done
            done += 1
            if done % _STEP == 0:
                bar.update(task, completed=done)

        yield seen


def _events(trace: Path) -> list[WorkloadEvent]:
    """Of a trace, or of an access log."""
    from perfmw.cli import rehearsing

    try:
        return _of_trace(trace)
    except ValueError:
        return rehearsing.events_of(trace)


def _read(trace: Path) -> list[WorkloadEvent]:
    try:
        return _of_trace(trace)
    except ValueError as error:
        raise Refusal(f"{trace}, {error}") from None


def _of_trace(trace: Path) -> list[WorkloadEvent]:
    """Its reads.

    :raises ValueError: a line is none of a trace.
    """
    from perfmw.cache.simulation import read_events

    try:
        events = list(read_events(trace))
    except (OSError, EOFError) as error:
        raise Refusal(f"{trace}: cannot be read: {error}") from None
    if not events:
        raise Refusal(f"{trace}: the trace is empty")
    return events


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise Refusal("--policy: name at least one")
    return names


def _sizes(text: str, accesses: list[Access], unit: Literal["entries", "bytes"]) -> list[int]:
    """Those of ``text``; where it is empty those that suit the accesses."""
    from perfmw.settings.kinds import parse_size

    if not text and unit == "entries":
        return [DEFAULT_ENTRIES]
    if not text:
        sizes_of = dict(accesses).values()
        together, largest = sum(sizes_of), max(sizes_of)
        return sorted({max(largest, int(together * share)) for share in DEFAULT_SHARES})
    words = [word.strip() for word in text.split(",") if word.strip()]
    try:
        sizes = [parse_size(word) for word in words]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise Refusal(f'--size: {text!r} is not a list of sizes such as 1000,5000 or "64MiB"')
    return sizes
