"""Channels that post JSON: a signed webhook, a chat's webhook, PagerDuty's events."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

import msgspec

from perfmw.contracts import Alert
from perfmw.monitoring.posting import Place, post
from perfmw.monitoring.telling import ReportFile, title_of

EVENTS_URL: Final = "https://events.pagerduty.com/v2/enqueue"
_SEVERITIES: Final[Mapping[str, str]] = {"low": "info", "medium": "warning", "high": "critical"}
_COLOURS: Final[Mapping[str, str]] = {"low": "#4a90d9", "medium": "#e0a100", "high": "#d33a2c"}
_OVER: Final = "#2f9e44"
_MOST_TEXT: Final = 3_000


class _Posting:
    """What channels that post have in common."""

    def __init__(self, name: str, url: str, timeout: float = 10.0) -> None:
        self.name = name
        self._place = Place.of(url)
        self._timeout = timeout

    async def _post(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        fields = {
            "content-type": "application/json",
            "user-agent": "perfmw",
            **(headers or {}),
        }
        await post(self._place, body, fields, self._timeout)


class WebhookChannel(_Posting):
    """Posts an alert as JSON: ``type`` (``alert.raised``, ``alert.updated`` or ``alert.resolved``),
    ``timestamp`` and ``data``, the alert's fields.

    With a secret the message is signed as Standard Webhooks 1.0 has it (standardwebhooks.com): HMAC-SHA256
    of ``id.timestamp.body`` in ``webhook-signature``. The id is the same for every attempt at one message.

    :param secret: a text, or base64 after ``whsec_``.
    """

    def __init__(
        self,
        name: str,
        url: str,
        secret: str = "",
        timeout: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name, url, timeout)
        self._key = key_of(secret)
        self._clock = clock

    async def send(self, alert: Alert) -> None:
        stage = alert.stage
        identity = f"{alert.key}:{alert.raised_at}:{stage}:{alert.details.get('update', 0)}"
        await self._message(f"alert.{stage}", asdict(alert), identity)

    async def send_report(self, report: ReportFile) -> None:
        """A report's JSON as ``data``, with the type ``report``."""
        await self._message("report", msgspec.Raw(report.json), report.name)

    async def _message(self, kind: str, data: Any, identity: str) -> None:
        now = int(self._clock())
        body = msgspec.json.encode({"type": kind, "timestamp": now, "data": data})
        message = "msg_" + hashlib.sha256(identity.encode()).hexdigest()[:32]
        headers = {"webhook-id": message, "webhook-timestamp": str(now)}
        if self._key:
            headers["webhook-signature"] = signature(self._key, message, now, body)
        await self._post(body, headers)


def key_of(secret: str) -> bytes:
    """The key that a secret stands for. Raises ValueError if what follows ``whsec_`` is no base64."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ must be base64") from None


def signature(key: bytes, message: str, timestamp: int, body: bytes) -> str:
    """``webhook-signature`` for a body: ``v1,`` and base64."""
    signed = hmac.new(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


class ChatChannel(_Posting):
    """Posts to an incoming webhook of Slack, or of Mattermost and others that take the same."""

    async def send(self, alert: Alert) -> None:
        text = _escaped(title_of(alert))
        colour = _OVER if alert.resolved_at is not None else _COLOURS[alert.severity]
        lines = [_escaped(line) for line in _context(alert)]
        shown = {"color": colour, "fallback": text, "text": "\n".join(lines)[:_MOST_TEXT]}
        body = {"text": f"*{text}*", "attachments": [shown]}
        await self._post(msgspec.json.encode(body))

    async def send_report(self, report: ReportFile) -> None:
        """The report's title and figures; a webhook takes no files."""
        text = f"*{_escaped(report.title)}*\n{_escaped(report.summary)}"
        await self._post(msgspec.json.encode({"text": text[:_MOST_TEXT]}))


def _escaped(text: str) -> str:
    """As Slack wants it: nothing becomes a mention or a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _context(alert: Alert) -> list[str]:
    lines = [alert.message]
    lines += [f"• {found['message']}" for found in alert.details.get("findings", [])[1:6]]
    return lines + [f"↳ {moved['text']}" for moved in alert.details.get("moved_with", [])[:3]]


class PagerDutyChannel(_Posting):
    """PagerDuty's Events API v2, and what takes the same: incidents are triggered and resolved by a key."""

    def __init__(self, name: str, routing_key: str, url: str = EVENTS_URL, timeout: float = 10.0) -> None:
        super().__init__(name, url, timeout)
        self._routing_key = routing_key

    async def send(self, alert: Alert) -> None:
        over = alert.resolved_at is not None
        event: dict[str, Any] = {
            "routing_key": self._routing_key,
            "event_action": "resolve" if over else "trigger",
            # at most 255 characters; the same for all that is told of one incident
            "dedup_key": "perfmw-"
            + hashlib.sha256(f"{alert.key}:{alert.raised_at}".encode()).hexdigest()[:40],
            "client": "perfmw",
        }
        if not over:
            event["payload"] = {
                "summary": alert.message[:1024],
                "source": alert.target[:255] or "perfmw",
                "severity": _SEVERITIES[alert.severity],
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(alert.raised_at)),
                "class": alert.type,
                "custom_details": dict(alert.details),
            }
        await self._post(msgspec.json.encode(event))
