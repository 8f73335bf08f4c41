"""What is watched, who is told of alerts, and how: a table for each channel; schedules, maintenance."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from perfmw.settings.kinds import (
    POSITIVE_SECONDS,
    BadValueError,
    Kind,
    SettingsError,
    bounded,
    choice,
    complaint,
    optional,
    parse_duration,
    read_items,
    read_name,
    read_number,
    read_path,
    read_text,
    read_whole,
)
from perfmw.settings.tables import REDACTED, read_mapping, read_table

CHANNEL_TYPES = ("log", "webhook", "slack", "pagerduty", "email", "opentelemetry")
SECRETS = frozenset({"url", "secret", "password"})
"""What no report, error or page shows: the URL of a chat's webhook is its password."""
_NEEDS = {"webhook": ("url",), "slack": ("url",), "pagerduty": ("secret",), "email": ("host", "sender", "to")}
_FROM_ENV = "env:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel for alerts. Raises SettingsError, which never shows a secret.

    ``url``, ``secret`` and ``password`` may be ``env:NAME``: what that variable holds when perfmw starts.
    """

    type: str
    severity: str = "low"
    url: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    security: str = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sender: str | None = None
    to: Sequence[str] = ()
    timeout: float = 10.0
    reports: bool = False

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, kind.convert(value))
            except ValueError as error:
                shown = REDACTED if name in SECRETS else value
                raise SettingsError(complaint(name, shown, "", kind, error)) from None
        missing = [name for name in _NEEDS.get(self.type, ()) if not getattr(self, name)]
        if missing:
            raise SettingsError(f"a channel of the type {self.type} needs {' and '.join(missing)}")

    def shown(self, hide: bool) -> dict[str, Any]:
        """Its fields as JSON values; with ``hide`` without secrets."""
        values = {one.name: getattr(self, one.name) for one in fields(self)} | {"to": list(self.to)}
        return {
            name: REDACTED if hide and name in SECRETS and value is not None else value
            for name, value in values.items()
        }

    def reveal(self, name: str) -> str:
        """A secret, looked up in the environment if it says so. Raises SettingsError if it is not there."""
        value: str = getattr(self, name) or ""
        if not value.startswith(_FROM_ENV):
            return value
        found = os.environ.get(value.removeprefix(_FROM_ENV), "")
        if not found:
            raise SettingsError(f"{name} = {value!r}: there is no such variable in the environment")
        return found


class Channels(dict[str, Channel]):
    """Channels by name, as a value: it is not changed once it is made."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return hash(frozenset(self.items()))


def read_url(value: object) -> str:
    if isinstance(value, str) and value.startswith(_FROM_ENV) and len(value) > len(_FROM_ENV):
        return value
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise BadValueError
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  # raises for what is no port
    except ValueError:
        raise BadValueError from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise BadValueError
    return value


def _addresses(value: object) -> tuple[str, ...]:
    found = read_items(value)
    if not all(_is_address(one) for one in found):
        raise BadValueError
    return tuple(dict.fromkeys(found))


def _is_address(value: object) -> bool:
    if not isinstance(value, str) or not value.isprintable() or any(char in value for char in " ,;<>"):
        return False
    before, at, after = value.rpartition("@")
    return bool(before and at and after)


def _address(value: object) -> str:
    if not _is_address(value):
        raise BadValueError
    return str(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadValueError
    return value


_ADDRESS = Kind("an address such as ops@example.org", _address)
_KINDS: dict[str, Kind] = {
    "type": choice(*CHANNEL_TYPES),
    "severity": choice("low", "medium", "high"),
    "url": optional(Kind("an http or https URL, or env:NAME", read_url), "not needed by every type"),
    "secret": optional(Kind("a text, or env:NAME", read_text), "webhooks are not signed"),
    "host": optional(Kind("a host name", read_text), "only e-mail needs it"),
    "port": optional(
        bounded(read_whole, "a whole number from 1 to 65535", 1, 65_535), "587, 465 with tls, 25 without"
    ),
    "security": choice("starttls", "tls", "none"),
    "username": optional(Kind("a text", read_text), "nobody signs in"),
    "password": optional(Kind("a text, or env:NAME", read_text), "nobody signs in"),
    "sender": optional(_ADDRESS, "only e-mail needs it"),
    "to": Kind("a list of addresses such as ops@example.org", _addresses),
    "timeout": POSITIVE_SECONDS,
    "reports": Kind("true or false", _flag),
}

CHANNEL_REFERENCE: dict[str, tuple[str, str]] = {
    name: (_KINDS[name].allowed, doc)
    for name, doc in {
        "type": "What it is: the logger, a signed webhook, a chat's webhook (Slack, Mattermost and their "
        "like), PagerDuty's events, e-mail, or a span for OpenTelemetry.",
        "severity": "The least severity that it is told of.",
        "url": "Where to post; for PagerDuty the place of its events, if it is another than PagerDuty's own.",
        "secret": "What webhooks are signed with (Standard Webhooks); for PagerDuty the routing key.",
        "host": "The mail server.",
        "port": "Its port.",
        "security": "How mail is encrypted on its way: STARTTLS, TLS from the start, or not at all.",
        "username": "Who signs in at the mail server.",
        "password": "By which password.",
        "sender": "The address that mail comes from.",
        "to": "Who gets mail.",
        "timeout": "How long, in seconds, telling it may take.",
        "reports": "Whether it gets the reports of `reporting_schedule` too (webhook, chat and e-mail).",
    }.items()
}
"""Field of a channel -> what it takes, and its sentence in the reference."""


def read_channels(value: object) -> Mapping[str, Channel]:
    """Tables by name; in the environment a JSON object. Raises BadValueError, without any secret."""
    found = read_mapping(value).items()
    return Channels((read_name(name), _read_channel(name, table)) for name, table in found)


def _read_channel(name: object, table: Any) -> Channel:
    if isinstance(table, Channel):
        return table
    if not isinstance(table, Mapping) or "type" not in table:
        raise BadValueError(f"channel {name!r}: type is missing")
    return read_table(Channel, table, f"channel {name!r}")


def read_schedule(value: object) -> str:
    """``hourly``, ``daily``, ``weekly`` or a cron line whose shape is right; who uses it checks the rest."""
    text = read_text(value).lower()
    if text not in ("hourly", "daily", "weekly") and len(text.split()) != 5:
        raise BadValueError
    return text


def read_windows(value: object) -> tuple[str, ...]:
    """Texts such as ``0 2 * * sun 2h``. Raises BadValueError."""
    items = [value] if isinstance(value, str) and not value.lstrip().startswith("[") else read_items(value)
    for item in items:
        parts = item.split() if isinstance(item, str) else []
        if len(parts) != 6 or not 0.0 < parse_duration(parts[5]) <= 7 * 86_400.0:
            raise BadValueError(f"{item!r} is no window")
    return tuple(str(item) for item in items)


CHANNELS = Kind("tables by name", read_channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """What is watched and who is told. Raises SettingsError, which never shows a secret."""

    profiles: int = 50
    slo_availability: float | None = 0.999
    slo_latency: float | None = None
    channels: Mapping[str, Channel] = field(default_factory=Channels)
    maintenance: Sequence[str] = ()
    reporting_schedule: str | None = None
    report_dir: str | None = None
    reports_kept: int = 30

    def __post_init__(self) -> None:
        for name, kind in _MONITORING_KINDS.items():
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, kind.convert(value))
            except ValueError as error:
                shown = REDACTED if name == "channels" else value
                raise SettingsError(complaint(name, shown, "", kind, error)) from None

    def shown(self, hide: bool) -> dict[str, Any]:
        """Its fields as JSON values; with ``hide`` without secrets."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        channels = {name: channel.shown(hide) for name, channel in self.channels.items()}
        return values | {"channels": channels, "maintenance": list(self.maintenance)}


_OBJECTIVE = bounded(read_number, "a number from 0.5 to 0.99999", 0.5, 0.99999)
_MONITORING_KINDS: dict[str, Kind] = {
    "profiles": bounded(read_whole, "a whole number from 1 to 1000", 1, 1_000),
    "slo_availability": optional(_OBJECTIVE, "failures burn no budget"),
    "slo_latency": optional(_OBJECTIVE, "slowness burns no budget"),
    "channels": CHANNELS,
    "maintenance": Kind(
        "a list of cron lines with a duration behind, such as `0 2 * * sun 2h` (UTC)", read_windows
    ),
    "reporting_schedule": optional(
        Kind("hourly, daily, weekly or a cron line such as `0 8 * * mon-fri` (UTC)", read_schedule),
        "no reports",
    ),
    "report_dir": optional(Kind("the path of a directory", read_path), "`reports` in state_dir"),
    "reports_kept": bounded(read_whole, "a whole number from 1 to 10000", 1, 10_000),
}

MONITORING_REFERENCE: dict[str, tuple[str, str]] = {
    name: (_MONITORING_KINDS[name].allowed, doc)
    for name, doc in {
        "profiles": "How many profiles, the busiest, are watched minute by minute, in some 300 KB each.",
        "slo_availability": "The share of requests that must not fail; alerts when the rest is used up fast.",
        "slo_latency": "The share of requests that must be answered within `apdex_t`.",
        "channels": "Who is told of alerts besides the log, by name; see below.",
        "maintenance": "When nobody is told of anything.",
        "reporting_schedule": "When a report is written and sent to the channels that have `reports = true`.",
        "report_dir": "Where reports are written.",
        "reports_kept": "How many of them stay there; the oldest go first.",
    }.items()
}
"""Field of the table ``monitoring`` -> what it takes, and its sentence in the reference."""


def read_monitoring(value: object) -> Monitoring:
    """A table; in the environment a JSON object. Raises BadValueError, without any secret."""
    if isinstance(value, Monitoring):
        return value
    return read_table(Monitoring, read_mapping(value), "monitoring")


MONITORING = Kind("a table (in the environment: as JSON)", read_monitoring)
