"""What ``perfmw doctor`` learns from a running perfmw through its dashboard's API."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import click

from perfmw.cli.api import Api
from perfmw.cli.doctor_settings import check_settings
from perfmw.cli.findings import Finding, error, hint, warning
from perfmw.cli.listening import is_loopback
from perfmw.settings import Settings, SettingsError
from perfmw.settings.model import options

_ASKED = 8
"""Connections made to see whether several processes answer."""


def check_server(url: str, token: str | None) -> list[Finding]:
    """Everything the server at ``url`` tells of itself, and whether it tells it to anybody.

    :raises click.ClickException: it does not answer, or not as a perfmw.
    """
    with Api(url, token) as api:
        rows = _all(api, "settings")
        layers, plugins = _all(api, "layers"), _all(api, "plugins")
        overview, uses = api.get("overview"), api.get("cache")
    told = {row["name"]: row["value"] for row in rows}
    chosen = {row["name"]: row["value"] for row in rows if row["origin"] != "default"}
    pids = _processes(url, token)
    return [
        *_settings(chosen, workers=len(pids)),
        *_strangers(url, told, token),
        *_layers(layers),
        *_plugins(plugins),
        *_alerts(overview["alerts"]),
        *_cookies(told, overview["cache_status"]),
        *_use(uses["whole"]),
    ]


def _all(api: Api, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get(path, limit=1000)["items"]
    return items


def _processes(url: str, token: str | None) -> set[int]:
    """The processes behind the URL: those that know of each other, and those that merely answer."""
    pids: set[int] = set()
    for _ in range(_ASKED):
        with Api(url, token) as api:
            pids |= {int(row["pid"]) for row in _all(api, "processes")}
    return pids


def _settings(told: Mapping[str, Any], workers: int) -> list[Finding]:
    shown = {name for name, option in options().items() if not option.metadata["secret"]}
    known = {name: value for name, value in told.items() if name in shown and value is not None}
    if known.get("cache_strategy") is not None:
        known.pop("layers", None)  # which the strategy says
    with tempfile.TemporaryDirectory() as empty:
        try:
            settings = Settings.load(env={}, cwd=empty, **known)
        except SettingsError as wrong:
            return [hint("version", f"the server's settings are not known here: {wrong}", "Update perfmw.")]
    found = check_settings(settings, workers=workers)
    has_token = told.get("dashboard_token") is not None
    return [one for one in found if not (has_token and one.code == "token-per-process")]


def _strangers(url: str, told: Mapping[str, Any], token: str | None) -> Iterator[Finding]:
    """Whether the dashboard opens without its token to somebody from elsewhere."""
    host = urlsplit(url).hostname or ""
    if not token and not is_loopback(host):
        yield error(
            "dashboard-open",
            f"the dashboard at {url} answers without a token",
            'Set dashboard = "token", or let your proxy ask who is there.',
        )
    elif token and _opens(url):
        if is_loopback(host):
            yield hint(
                "dashboard-open",
                "every user of this machine sees the dashboard without the token",
                'Set dashboard = "token" if others have accounts here.',
            )
        else:
            yield error(
                "dashboard-open",
                f"the dashboard at {url} answers without a token",
                'Set dashboard = "token".',
            )
    if told.get("dashboard") == "token" and urlsplit(url).scheme == "http" and not is_loopback(host):
        yield warning(
            "token-in-the-clear",
            "the token goes over the network unencrypted",
            "Put TLS before the server, and use its https URL.",
        )


def _opens(url: str) -> bool:
    try:
        with Api(url) as api:
            api.get("overview")
    except click.ClickException:
        return False
    return True


def _layers(layers: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for layer in layers:
        name = layer["name"]
        if not layer.get("available", True):
            yield error(
                "backend",
                f"the layer {name} fails and is left out for now ({layer['errors']:,} errors)",
                "See that its server runs and is reachable; perfmw comes back to it by itself.",
            )
        elif layer["errors"]:
            yield warning(
                "backend",
                f"the layer {name} failed {layer['errors']:,} times since the start",
                "The server's log says how; a longer layer_deadline helps where it is only slow.",
            )
        if layer.get("dropped"):
            yield warning(
                "write-behind",
                f"{layer['dropped']:,} writes to {name} found no room in its queue",
                "Raise write_behind_max_entries or write_behind_max_bytes.",
            )


def _plugins(plugins: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for plugin in plugins:
        for problem in plugin["problems"]:
            yield error(
                "plugin",
                f"the plugin {plugin['name']} was left out: {problem}",
                f"Update or mend {plugin['distribution'] or plugin['name']}, or leave it out of plugins.",
            )
    from perfmw import __version__

    theirs = next((one["version"] for one in plugins if one["origin"] == "built-in"), None)
    if theirs and theirs != __version__:
        yield hint(
            "version",
            f"the server runs perfmw {theirs}, this is {__version__}",
            "Use the same on both sides.",
        )


def _alerts(alerts: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for alert in alerts:
        if alert.get("resolved_at") is None:
            yield warning("alert", f"an alert is open: {alert.get('message', '')}", "See the dashboard.")


def _cookies(told: Mapping[str, Any], words: Mapping[str, int]) -> Iterator[Finding]:
    shared = [rule["path"] for rule in told.get("cache_rules") or () if rule.get("shared")]
    count = words.get("set-cookie", 0)
    if shared and count:
        yield warning(
            "shared-cookies",
            f"{count:,} responses set cookies, and rules say shared=True ({', '.join(shared[:3])})",
            "See by `perfmw explain URL` whether those pages do, and take shared=True from them.",
        )


def _use(whole: Mapping[str, Any]) -> Iterator[Finding]:
    asked = whole["hits"] + whole["misses"]
    if asked >= 1_000 and not whole["hits"]:
        yield warning(
            "no-hits",
            f"none of {asked:,} requests was answered from the cache",
            "`perfmw explain URL` says why a page is not cached, and what to change.",
        )
