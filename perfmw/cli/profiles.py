"""``perfmw profiles``: what is known of each target of a running perfmw, and what was chosen for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from perfmw.cli.api import LOCAL_SERVER, TOKEN, Api, asking
from perfmw.cli.options import DURATION, YES
from perfmw.cli.output import OUTPUT, Failure, Refusal, confirm, printable, table, tell, when, write

_TYPE = click.Choice(["component", "workflow", "integration", "query", "system"])
_PAGE = 1000
_FIGURES = ("latency", "throughput")
_NAME = click.argument("name", metavar="NAME")


def _chosen(command: Any) -> Any:
    """The options of ``create`` and ``update``."""
    for option in (
        click.option("--auto/--no-auto", "auto_optimization", default=None, help="Optimize it unasked."),
        click.option(
            "--level",
            "optimization_level",
            type=click.Choice(["basic", "advanced", "aggressive"]),
            help="How much may be tried on it.",
        ),
        click.option("--schedule", "reporting_schedule", help="When to report: hourly, daily, weekly …"),
        click.option(
            "--apdex-t", type=DURATION, help="The response time that satisfies users, such as 300ms."
        ),
        click.option("--throughput", type=float, help="Target: operations per second."),
        click.option("--latency", type=DURATION, help="Target of the mean, such as 200ms."),
    ):
        command = option(command)
    return command


@click.group()
def profiles() -> None:
    """See and change the profiles of a running perfmw, through its dashboard.

    NAME is a target such as "GET /items/{id}", or a profile's id.
    """


@profiles.command("list")
@click.option("--type", "kind", type=_TYPE, help="Only those of one type.")
@asking
def list_profiles(kind: str | None, server: str, token: str | None, as_json: bool) -> None:
    """Show all profiles, the busiest first."""
    with Api(server, token) as api:
        found = sorted(_all(api, kind), key=lambda one: -one["metrics"]["latency"]["count"])
    rows = [_row(one) for one in found]
    head = ["id", "type", "name", "requests", "p50 ms", "p95 ms", "errors", "score"]
    tell({"items": found, "total": len(found)}, table(head, rows, right=frozenset({3, 4, 5, 6, 7})), as_json)


def _row(one: dict[str, Any]) -> list[str]:
    latency, score = one["metrics"]["latency"], one["performance"]["current_score"]
    errors = one["metrics"]["error_rates"]["rate"]
    figures = [f"{latency[name] * 1e3:.1f}" if latency["count"] else "" for name in ("p50", "p95")]
    told = [str(latency["count"]), *figures, f"{errors:.1%}", f"{score:.0f}" if score is not None else ""]
    return [one["id"], one["type"], one["name"], *told]


@profiles.command()
@_NAME
@asking
def show(name: str, server: str, token: str | None, as_json: bool) -> None:
    """Show the profile NAME: latency, score, baseline, targets, trend, and what was chosen."""
    with Api(server, token) as api:
        found = _found(api, name)
    tell(found, _details(found), as_json)


@profiles.command()
@_NAME
@click.option(
    "--type", "kind", type=_TYPE, default="component", show_default=True, help="What kind of target it is."
)
@_chosen
@asking
def create(name: str, kind: str, server: str, token: str | None, as_json: bool, **chosen: Any) -> None:
    """Make a profile for the target NAME, seen yet or not; where there is one, choose for it."""
    with Api(server, token) as api:
        made = api.post("profiles", {"name": name, "type": kind, **_choices(chosen, {})})
    tell(made, f"{made['id']}  {printable(made['name'])}", as_json)


@profiles.command()
@_NAME
@_chosen
@asking
def update(name: str, server: str, token: str | None, as_json: bool, **chosen: Any) -> None:
    """Change what was chosen for the profile NAME: targets, reports, how it may be optimized."""
    with Api(server, token) as api:
        known = _found(api, name)
        choices = _choices(chosen, known["performance"]["targets"] or {})
        if not choices:
            raise Refusal("nothing to change was given; perfmw profiles update --help names what there is")
        changed = api.post(f"profiles/{_quoted(known)}/settings", choices)
    tell(changed, _details(changed), as_json)


def _choices(given: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
    """The body for what was given; targets that were not keep what they were."""
    chosen = {key: value for key, value in given.items() if value is not None and key not in _FIGURES}
    if any(given[name] is not None for name in _FIGURES):
        wanted = {name: given[name] if given[name] is not None else targets.get(name) for name in _FIGURES}
        if wanted["latency"] is None:
            raise Refusal("a target of throughput needs one of latency: add --latency")
        chosen["targets"] = {**targets, **wanted, "throughput": wanted["throughput"] or 0.0}
    return chosen


@profiles.command()
@_NAME
@YES
@asking
def delete(name: str, yes: bool, server: str, token: str | None, as_json: bool) -> None:
    """Forget the profile NAME and all it counted; the next request of its target begins a new one."""
    with Api(server, token) as api:
        known = _found(api, name)
        if not yes:
            confirm(f"Forget {known['name']}?", refused="this forgets what was counted")
        done = api.post(f"profiles/{_quoted(known)}/delete", {})
    tell(done, f"{printable(known['name'])} is forgotten", as_json)


@profiles.command()
@_NAME
@click.argument("second", metavar="[SECOND]", required=False)
@click.option(
    "--window",
    type=click.Choice(["60", "300", "3600", "86400"]),
    default="300",
    show_default=True,
    help="The last so many seconds.",
)
@asking
def compare(
    name: str, second: str | None, window: str, server: str, token: str | None, as_json: bool
) -> None:
    """Set NAME beside SECOND; without it, NAME's last window beside the one before."""
    with Api(server, token) as api:
        one = _found(api, name)
        other = _found(api, second)["id"] if second is not None else None
        found = api.get(f"profiles/{_quoted(one)}/compare", second=other, window=window)
    rows = [
        [
            each["figure"],
            *(_figure(each["figure"], each[side]) for side in ("first", "second")),
            f"{each['change']:+.0%}" if each["change"] is not None else "",
        ]
        for each in found["differences"]
    ]
    head = ["", printable(name if second else "before"), printable(second or "now"), "change"]
    idle = [
        named
        for side, named in zip(("first", "second"), head[1:3], strict=True)
        if not found[f"{side}_requests"]
    ]
    text = table(head, rows, right=frozenset({1, 2, 3}))
    tell(found, f"{text}\n{_certain(found, idle, window)}", as_json)


def _certain(found: dict[str, Any], idle: list[str], window: str) -> str:
    """How sure it is that the sides differ; or which of them have nothing to be compared by."""
    if not idle:
        return f"sure that they differ: {found['confidence']:.0%}"
    return f"no requests in {window} s to compare by: {', '.join(idle)}; a longer --window may have some"


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name.endswith("_rate"):
        return f"{value:.1%}"
    return f"{value:.0f}" if name == "score" else f"{value * 1e3:.2f} ms"


@profiles.command()
@_NAME
@click.option("--latency", type=DURATION, help="The mean, such as 80ms; else what was measured of late.")
@click.option("--throughput", type=float, default=0.0, help="Operations per second, with --latency.")
@asking
def baseline(
    name: str, latency: float | None, throughput: float, server: str, token: str | None, as_json: bool
) -> None:
    """Pin what NAME is measured against. `import --only baselines` takes it from a file."""
    with Api(server, token) as api:
        body = {} if latency is None else {"latency": latency, "throughput": throughput}
        changed = api.post(f"profiles/{_quoted(_found(api, name))}/baseline", body)
    tell(changed, _details(changed), as_json)


@profiles.command("export")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@LOCAL_SERVER
@TOKEN
@OUTPUT
@click.option("--json", "as_json", is_flag=True, help="It is JSON anyway; of a file, tell name and size.")
def export_profiles(
    names: tuple[str, ...], server: str, token: str | None, output: Path | None, as_json: bool
) -> None:
    """Write profiles, all of them or those named, with all they counted, for `import`."""
    with Api(server, token) as api:
        asked = urlencode([("id", _found(api, name)["id"]) for name in names])
        data = api.read(f"/api/v1/profiles/export?{asked}", "application/json")
    write(data + b"\n", output, told=as_json)


@profiles.command("import")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--only",
    "take",
    type=click.Choice(["choices", "baselines"]),
    help="Leave out what was counted; or take nothing but baselines, and pin them.",
)
@asking
def import_profiles(file: Any, take: str | None, server: str, token: str | None, as_json: bool) -> None:
    """Take over the profiles that `export` wrote to FILE (- is stdin), beside those that are there."""
    try:
        exported = json.load(file)
    except ValueError:
        raise Refusal(f"{file.name} is not JSON") from None
    if not isinstance(exported, dict):
        raise Refusal(f"{file.name} is no export of profiles")
    with Api(server, token) as api:
        done = api.post(f"profiles/import?take={take or 'all'}", exported)
    tell(done, f"{len(done['ids'])} profiles taken over", as_json)


def _all(api: Api, kind: str | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = api.get("profiles", type=kind, limit=_PAGE, offset=len(found))
        found += page["items"]
        if not page["items"] or len(found) >= page["total"]:
            return found


def _found(api: Api, name: str) -> dict[str, Any]:
    """The profile of that name or id. Raises Failure."""
    for one in _all(api):
        if name in (one["id"], one["name"]):
            return one
    raise Failure(f"there is no profile {name!r}; perfmw profiles list names them")


def _quoted(profile: dict[str, Any]) -> str:
    return quote(profile["id"], safe="")


def _details(one: dict[str, Any]) -> str:
    """What there is to know, a line each."""
    latency, held, settings = one["metrics"]["latency"], one["performance"], one["monitoring"]
    figures = ("mean", "p50", "p95", "p99", "max")
    lines = [
        f"{printable(one['name'])} ({one['type']}, {one['id']}), since {when(one['metadata']['created_at'])}"
    ]
    lines.append(f"  requests: {latency['count']}")
    if latency["count"]:
        lines += [f"  {name}: {latency[name] * 1e3:.2f} ms" for name in figures]
    score, users = held["current_score"], one["metrics"]["user_experience"]
    apdex = f"{users['apdex']:.2f} (T {users['apdex_t'] * 1e3:g} ms)" if latency["count"] else None
    trend = f"{held['trend_direction']} ({held['trend_confidence']:.0%} sure)"
    facts = [("score", None if score is None else f"{score:.0f}"), ("apdex", apdex), ("trend", trend)]
    for name in ("baseline", "targets"):
        known = held[name]
        facts.append((name, f"{known['latency'] * 1e3:g} ms, {known['throughput']:g}/s" if known else None))
    facts.append(("reports", settings["reporting_schedule"]))
    return "\n".join([*lines, *(f"  {name}: {value}" for name, value in facts if value is not None)])
