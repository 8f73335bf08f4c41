"""``perfmw optimize``: what could be faster, what was tried, and the way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from perfmw.cli.api import Api, asking_if_named
from perfmw.cli.config import load_settings
from perfmw.cli.options import FACTORY, JSON, YES
from perfmw.cli.output import FAILURE_FOUND, Failure, Refusal, confirm, note, table, tell, when

if TYPE_CHECKING:
    from perfmw.optimization import Ledger

_POLL = 0.5
_NEEDS_SERVER = "only a running server can try anything: name its dashboard with --url URL"

_LEVEL = click.option(
    "--level",
    type=click.Choice(["basic", "advanced", "aggressive"]),
    default="basic",
    show_default=True,
    help="How bold what is tried may be.",
)


@click.group()
def optimize() -> None:
    """See what could be faster, try it on live traffic, and undo what was changed.

    With --url, on a running perfmw, through its dashboard. Without, list, reject, rollback and kill take
    the ledger in state_dir: what is undone there is not applied again when a server starts.
    """


@optimize.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1_000), help="Ledger entries.")
@asking_if_named
def list_all(server: str | None, token: str | None, limit: int, as_json: bool) -> None:
    """Show what could be tried, what waits for approval, and the ledger, the newest entry first."""
    data = _asked(server, token, limit) if server is not None else _recorded(limit)
    tell(data, _listed(data), as_json)


@optimize.command()
@_LEVEL
@click.option("--steps", default=3, show_default=True, type=click.IntRange(1, 50), help="The most to try.")
@click.option(
    "--blocks", default=8, show_default=True, type=click.IntRange(2, 1_000), help="For each of them."
)
@click.option(
    "--block-seconds", default=10.0, show_default=True, type=click.FloatRange(0.05, 3_600), help="Of a block."
)
@click.option(
    "--block-requests",
    default=1_000,
    show_default=True,
    type=click.IntRange(0, 1_000_000),
    help="A block that has fewer goes on, for four times as long at most.",
)
@click.option(
    "--at-once",
    default=1,
    show_default=True,
    type=click.IntRange(1, 50),
    help="Changes of different routes on trial at a time.",
)
@click.option("--profile", help="Only what concerns the profile with this id.")
@click.option("--type", "types", multiple=True, help="Only changes of this type, such as cache_route.")
@click.option("--dry-run", is_flag=True, help="Only write down what would be tried.")
@click.option("--ask", is_flag=True, help="Have each change wait for approval instead of trying it.")
@click.option("--no-wait", is_flag=True, help="Begin, and do not wait for the end.")
@asking_if_named
def run(
    server: str | None, token: str | None, as_json: bool, no_wait: bool, ask: bool, steps: int, **given: Any
) -> None:
    """Try what may help, one change at a time, and keep what is proven to. Exit code 1 if a step failed.

    Interrupted, it ends the run and undoes what is on trial; with --no-wait the run goes on by itself.
    """
    profile, types = given.pop("profile"), list(given.pop("types"))
    body = {**given, "max_steps": steps, "approval": ask, "types": types}
    body |= {"profile_id": profile} if profile else {}
    with _server(server, token) as api:
        state = api.post("optimization/start", body)
        if not no_wait:
            try:
                state = _wait(api, note if as_json else click.echo)
            except KeyboardInterrupt:
                _end(server, token)
                raise
    tell(state, _run_text(state), as_json)
    last = state.get("last") or {}
    if not no_wait and any(step["verdict"] == "failed" for step in last.get("steps", ())):
        raise SystemExit(FAILURE_FOUND)


def _end(server: str | None, token: str | None) -> None:
    with _server(server, token) as api:  # the other connection may be half way through an answer
        api.post("optimization/cancel", {})
    note("the run is ended, and what was on trial is undone")


@optimize.command()
@click.argument("entry", type=click.IntRange(1))
@asking_if_named
def approve(entry: int, server: str | None, token: str | None, as_json: bool) -> None:
    """Try the change that waits in ledger entry ENTRY; it is kept only if it proves itself."""
    with _server(server, token) as api:
        told = api.post(f"ledger/{entry}/approve", {})
    tell(told, f"entry {entry} is approved: it is on trial now", as_json)


@optimize.command()
@click.argument("entry", type=click.IntRange(1))
@asking_if_named
def reject(entry: int, server: str | None, token: str | None, as_json: bool) -> None:
    """Refuse the change that waits in ledger entry ENTRY: it is not proposed again."""
    if server is None:
        ledger, known = _ledger(), _entry(entry)
        if entry not in {one.id for one in ledger.waiting()}:
            raise Refusal(f"entry {entry} does not wait for approval")
        ledger.append("rejected", known.opportunity, who="command", why="rejected")
    else:
        with Api(server, token) as api:
            api.post(f"ledger/{entry}/reject", {})
    tell({"id": entry, "rejected": True}, f"entry {entry} is rejected", as_json)


@optimize.command()
@click.argument("entry", type=click.IntRange(1))
@asking_if_named
def rollback(entry: int, server: str | None, token: str | None, as_json: bool) -> None:
    """Undo the change that ledger entry ENTRY keeps."""
    if server is None:
        known, ledger = _entry(entry), _ledger()
        if entry not in {one.id for one in ledger.kept()}:
            raise Refusal(f"entry {entry} is not in force, so there is nothing to roll back")
        ledger.append("reverted", known.opportunity, who="command", why="rolled back by hand")
        note("a server that runs keeps it until it is started again; --url URL undoes it there at once")
    else:
        with Api(server, token) as api:
            api.post(f"ledger/{entry}/rollback", {})
    tell({"id": entry, "rolled_back": True}, f"entry {entry} is rolled back", as_json)


@optimize.command()
@YES
@asking_if_named
def kill(server: str | None, token: str | None, yes: bool, as_json: bool) -> None:
    """End the run under way and undo every change that is in force, once you said so.

    The setting optimizations_enabled=false, or PERFMW_OPTIMIZATIONS_ENABLED=false, does it at start and
    keeps it so.
    """
    if not yes:
        confirm("End the run under way and undo every change?", refused="this undoes every change")
    running = False
    if server is None:
        ledger = _ledger()
        undone = [one.opportunity for one in reversed(ledger.kept())]
        for opportunity in undone:
            ledger.append("reverted", opportunity, who="command", why="kill switch")
        titles = [opportunity.title for opportunity in undone]
        note("a server that runs keeps them until it is started again; --url URL undoes them at once")
    else:
        with Api(server, token) as api:
            running = api.get("optimization")["status"] == "running"
            titles = api.post("optimization/stop", {})["rolled_back"]
    ended = "the run under way was ended, and its change undone" if running else ""
    tell({"rolled_back": titles}, "\n".join([*titles, ended]).strip() or "nothing was in force", as_json)


@optimize.command()
@click.argument("log", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--target", required=True, metavar="APP", help="The app, as module:attribute.")
@FACTORY
@click.option(
    "--seconds",
    default=60.0,
    show_default=True,
    type=click.FloatRange(1, 86_400),
    help="How long it takes: the log's time is drawn together. Evidence needs time as well as requests.",
)
@_LEVEL
@JSON
def rehearse(log: Path, target: str, factory: bool, seconds: float, level: str, as_json: bool) -> None:
    """Say what would be tried on the traffic of an access LOG, and try nothing.

    The log's GET and HEAD requests are sent to the app, served wrapped on this machine; what was seen of its
    answers is the evidence. See perfmw replay for the formats.
    """
    from perfmw.cli.logtraffic import observe

    found = observe(log, target, factory=factory, seconds=seconds, level=level)
    tell(found, rehearsed(found, log), as_json)


def rehearsed(found: dict[str, Any], log: Path) -> str:
    """What ``observe`` found in ``log``, in words."""
    lines = [f"{found['requests']:,} requests of {log} sent, {found['errors']:,} failed"]
    lines += [
        f"would try: {row['title']}: {row['expected_gain']:.0%} of {row['target']}, {row['risk']} risk"
        for row in found["opportunities"]
    ]
    lines += [f"  not: {row['type']} of {row['target']}: {row['missing']}" for row in found["lacking"]]
    return "\n".join(lines if found["opportunities"] else [*lines, "nothing would be tried"])


@contextmanager
def _server(server: str | None, token: str | None) -> Iterator[Api]:
    if server is None:
        raise Refusal(_NEEDS_SERVER)
    with Api(server, token) as api:
        yield api


def _wait(api: Api, say: Callable[[str], None]) -> dict[str, Any]:
    """Until the run is over; every verdict is told as it comes."""
    told = 0
    while True:
        state: dict[str, Any] = api.get("optimization")
        running = state["status"] == "running"
        steps = state.get("verdicts", []) if running else (state.get("last") or {}).get("steps", [])
        for step in steps[told:]:
            say(_step_text(step))
        told = len(steps)
        if not running:
            return state
        time.sleep(_POLL)


def _asked(server: str, token: str | None, limit: int) -> dict[str, Any]:
    with Api(server, token) as api:
        return {
            "opportunities": api.get("opportunities")["items"],
            "waiting": api.get("waiting")["items"],
            "recommendations": api.get("recommendations")["items"],
            "ledger": api.get("ledger", limit=limit)["items"],
        }


def _recorded(limit: int) -> dict[str, Any]:
    """The same of a ledger on disk; nobody is there to find opportunities."""
    ledger = _ledger()
    standing = {entry.id for entry in ledger.kept()}
    waiting = [{"id": one.id, "title": one.opportunity.title} for one in ledger.waiting()]
    rows = [
        {
            "id": entry.id,
            "at": entry.at,
            "kind": entry.kind,
            "title": entry.opportunity.title,
            "target": entry.opportunity.target,
            "who": entry.who,
            "why": entry.why,
            "improvement": entry.improvement,
            "standing": entry.id in standing,
        }
        for entry in ledger.entries()[: -limit - 1 : -1]
    ]
    return {"opportunities": [], "waiting": waiting, "recommendations": [], "ledger": rows}


def _ledger() -> Ledger:
    from perfmw.optimization import Ledger

    folder = load_settings().state_dir
    if folder is None:
        raise Refusal("there is no ledger here: set state_dir, or ask a running server with --url URL")
    return Ledger(folder)


def _entry(entry: int) -> Any:
    try:
        return _ledger().entry(entry)
    except KeyError:
        raise Failure(f"the ledger has no entry {entry}") from None


def _listed(data: dict[str, Any]) -> str:
    lines = []
    titles = {
        "opportunities": "could be tried",
        "waiting": "wait for approval",
        "recommendations": "what you can do yourself (--json has the code)",
    }
    for name, title in titles.items():
        if data[name]:
            lines += [f"{title}:", *(f"  {_named(row)}" for row in data[name])]
    lines.append(_ledger_table(data["ledger"]) if data["ledger"] else "The ledger is empty.")
    return "\n".join(lines)


def _named(row: dict[str, Any]) -> str:
    number, saved = str(row.get("id", "")), row.get("saved_seconds_per_day")
    text = f"{number}  {row['title']}" if number.isdigit() else str(row["title"])
    if not saved:
        return text
    return f"{text}, about {saved / 60:.0f} minutes a day" if saved >= 60 else f"{text}, {saved:.2g} s a day"


def _ledger_table(rows: list[dict[str, Any]]) -> str:
    cells = [
        [str(row["id"]), when(row["at"]), str(row["kind"]), str(row["title"]), _gain(row), str(row["why"])]
        for row in rows
    ]
    return table(["entry", "when", "what", "change", "gain", "why"], cells, right=frozenset({0, 4}))


def _gain(row: dict[str, Any]) -> str:
    improvement = row.get("improvement")
    return "" if improvement is None else f"{improvement:+.0%}"


def _run_text(state: dict[str, Any]) -> str:
    """What a run came to; its verdicts were told as they came."""
    if state["status"] == "running":
        return "an optimization run is under way"
    last = state.get("last")
    if not last or not last["steps"]:
        return "nothing was worth trying"
    gain, kept = last["performance_improvement"], last["successful_steps"]
    if not last["steps_executed"]:
        return "nothing was tried"
    said = f"{kept} of {last['steps_executed']} kept"
    return f"{said}; mean latency of what they concern: {-gain:+.0%}" if kept and gain is not None else said


def _step_text(step: dict[str, Any]) -> str:
    return f"{step['verdict'].replace('_', ' ')}: {step['step_id']}: {step['reason'] or step['error'] or ''}"
