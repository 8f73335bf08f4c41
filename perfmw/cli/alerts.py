"""``perfmw alerts``: what a running perfmw found wrong, who was told of it, and who shall not be."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from perfmw.cli.api import Api, asking
from perfmw.cli.options import DURATION
from perfmw.cli.output import Failure, printable, table, tell, when

_WHY = click.option("--why", default="", help="A reason, for those who wonder.")
_WHO = click.option("--by", default="command", show_default=True, help="Who does it.")
_MOST = 500


@click.group()
def alerts() -> None:
    """See what a running perfmw found wrong and whom it told, through its dashboard.

    An incident is one alert with its updates, however many routes became worse together.
    """


@alerts.command("list")
@click.option(
    "--state",
    type=click.Choice(["open", "resolved", "all"]),
    default="open",
    show_default=True,
    help="Which incidents.",
)
@asking
def list_alerts(server: str, token: str | None, state: str, as_json: bool) -> None:
    """Show incidents, the newest first."""
    with Api(server, token) as api:
        found = api.get("alerts", state=state, limit=_MOST)
    rows = [
        [when(one["raised_at"]), one["severity"], _state(one), one["key"], one["message"]]
        for one in found["items"]
    ]
    head = ["raised", "severity", "state", "key", "what"]
    tell(found, table(head, rows) if rows else "Nothing is wrong." if state == "open" else "None.", as_json)


@alerts.command()
@click.argument("key")
@asking
def show(key: str, server: str, token: str | None, as_json: bool) -> None:
    """Show the incident KEY: since when, how much, how sure, what moved with it and what came before."""
    with Api(server, token) as api:
        known = api.get("alerts", limit=_MOST)["items"]
    found = next((one for one in known if one["key"] == key), None)
    if found is None:
        raise Failure(
            f"there is no incident {key!r}; perfmw alerts list --state all names all that are known"
        )
    tell(found, _details(found), as_json)


@alerts.command()
@click.argument("key")
@asking
def resolve(key: str, server: str, token: str | None, as_json: bool) -> None:
    """Close the incident KEY and tell the channels so. If it is still there, it is raised again."""
    with Api(server, token) as api:
        done = api.post("alerts/resolve", {"key": key})
    tell(done, f"{key} is resolved", as_json)


@alerts.command()
@click.argument("pattern")
@click.option("--for", "seconds", type=DURATION, required=True, help="How long, such as 30m or 2h.")
@_WHY
@_WHO
@asking
def silence(
    pattern: str, seconds: float, why: str, by: str, server: str, token: str | None, as_json: bool
) -> None:
    """Tell nobody of what PATTERN matches: a target such as "GET /reports/*", a type or a key."""
    _silence(pattern, seconds, why, by, Api(server, token), as_json)


@alerts.command()
@asking
def silences(server: str, token: str | None, as_json: bool) -> None:
    """Show what nobody is told of, and until when."""
    with Api(server, token) as api:
        found = api.get("alerts/silences")
    rows = [[one["id"], when(one["until"]), one["pattern"], one["by"], one["why"]] for one in found["items"]]
    lines = ["A maintenance window is open: nobody is told of anything."] if found["maintenance"] else []
    lines.append(table(["id", "until", "pattern", "by", "why"], rows) if rows else "There are no silences.")
    tell(found, "\n".join(lines), as_json)


@alerts.command()
@click.argument("silence_id", metavar="ID")
@asking
def unsilence(silence_id: str, server: str, token: str | None, as_json: bool) -> None:
    """End the silence ID, or the maintenance that began by hand."""
    with Api(server, token) as api:
        done = api.post(f"alerts/silences/{quote(silence_id, safe='')}/end", {})
    tell(done, f"{silence_id} is over", as_json)


@alerts.command()
@click.option("--for", "seconds", type=DURATION, required=True, help="How long, such as 30m or 2h.")
@_WHY
@_WHO
@asking
def maintenance(seconds: float, why: str, by: str, server: str, token: str | None, as_json: bool) -> None:
    """Tell nobody of anything for a while; `monitoring.maintenance` is for windows that come again."""
    _silence("*", seconds, why or "maintenance", by, Api(server, token), as_json)


@alerts.command()
@click.argument("text")
@click.option("--kind", default="deploy", show_default=True, help="Such as deploy, config or migration.")
@_WHO
@asking
def annotate(text: str, kind: str, by: str, server: str, token: str | None, as_json: bool) -> None:
    """Note that something was done, such as "shop 2.4.1": incidents name what came shortly before them."""
    with Api(server, token) as api:
        made = api.post("annotations", {"text": text, "kind": kind, "who": by})
    tell(made, f"noted: {made['kind']}: {made['text']}", as_json)


@alerts.command("annotations")
@asking
def list_annotations(server: str, token: str | None, as_json: bool) -> None:
    """Show what was done, the newest first."""
    with Api(server, token) as api:
        found = api.get("annotations", limit=_MOST)
    rows = [[when(one["at"]), one["kind"], one["who"], one["text"]] for one in found["items"]]
    tell(found, table(["when", "kind", "who", "what"], rows) if rows else "Nothing is noted.", as_json)


@alerts.command()
@asking
def channels(server: str, token: str | None, as_json: bool) -> None:
    """Show who is told, and how well that goes."""
    with Api(server, token) as api:
        found = api.get("alerts/channels")
    numbers = ("sent", "failed", "dropped", "waiting")
    rows = [
        [one["name"], *(str(one[name]) for name in numbers), "ok" if one["healthy"] else "failing"]
        for one in found["items"]
    ]
    shown = table(["channel", *numbers, "state"], rows, right=frozenset({1, 2, 3, 4}))
    tell(found, shown if rows else "There are no channels.", as_json)


def _silence(pattern: str, seconds: float, why: str, by: str, asked: Api, as_json: bool) -> None:
    with asked as api:
        made = api.post("alerts/silences", {"pattern": pattern, "seconds": seconds, "why": why, "by": by})
    tell(made, f"{made['id']}: nobody is told of {pattern} until {when(made['until'])} UTC", as_json)


def _state(alert: dict[str, Any]) -> str:
    if alert["resolved_at"] is not None:
        return "resolved"
    return "silenced" if alert["details"].get("silenced") else "open"


def _details(alert: dict[str, Any]) -> str:
    """What there is to know, a line each."""
    details = alert["details"]
    confidence = details.get("confidence")
    facts = [
        ("severity", alert["severity"]),
        ("state", _state(alert)),
        ("since", when(details.get("since") or alert["raised_at"])),
        ("raised", when(alert["raised_at"])),
        ("resolved", when(alert["resolved_at"]) if alert["resolved_at"] is not None else None),
        ("sure", f"{confidence:.1%}" if confidence is not None else None),
        ("probable cause", details.get("cause")),
    ]
    lines = [printable(alert["message"])]
    lines += [f"  {name}: {printable(str(value))}" for name, value in facts if value]
    lines += [
        f"  - {printable(one['target'])}: {printable(one['message'])}" for one in details.get("findings", ())
    ]
    lines += [f"  moved with it: {printable(one['text'])}" for one in details.get("moved_with", ())]
    return "\n".join(lines)
