from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from perfmw import Settings
from perfmw.contracts import Alert
from perfmw.exporters.alerts import OpenTelemetryChannel
from perfmw.monitoring.channels import channels_of, check_times
from perfmw.monitoring.mail import MailChannel
from perfmw.monitoring.posting import DeliveryError, Place, post
from perfmw.monitoring.telling import ReportFile, plain_text, title_of
from perfmw.monitoring.webhooks import ChatChannel, PagerDutyChannel, WebhookChannel, key_of
from perfmw.settings import Channel, Monitoring, SettingsError
from tests.monitoring.receiver import receiving

pytestmark = pytest.mark.anyio

ALERT = Alert(
    "p1:latency",
    "changed_latency",
    "high",
    "GET /x became 50% slower",
    "GET /x",
    1_760_000_000.0,
    details={
        "since": 1_759_999_900.0,
        "confidence": 0.999999,
        "ratio": 1.5,
        "findings": [{"message": "GET /x became 50% slower"}, {"message": "<b>3% fail</b>"}],
        "moved_with": [{"text": "40 s after deploy: v2"}],
    },
)
OVER = replace(ALERT, resolved_at=1_760_000_060.0)
REPORT = ReportFile("report-1", "Report", "Score 90", b"<p>hello", b'{"score":90}', "# Report")


# ---- posting


async def test_a_webhook_is_signed_and_can_be_checked() -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    async with receiving() as receiver:
        channel = WebhookChannel("ops", receiver.url, secret, clock=lambda: 1_760_000_001.5)
        await channel.send(ALERT)
        await channel.send(ALERT)
        await channel.send(OVER)
    head, body = receiver.headers[0], receiver.bodies[0]
    assert head[""] == "POST /hook?x=1 HTTP/1.1"
    signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"k" * 24, signed, hashlib.sha256).digest()).decode()
    assert head["webhook-signature"] == f"v1,{expected}"
    first, again, over = receiver.messages
    assert (first["type"], first["timestamp"]) == ("alert.raised", 1_760_000_001)
    assert first["data"]["message"] == ALERT.message
    assert over["type"] == "alert.resolved"
    assert again == first
    ids = [head["webhook-id"] for head in receiver.headers]
    assert ids[0] == ids[1] != ids[2]


async def test_a_webhook_without_a_secret_is_not_signed() -> None:
    async with receiving() as receiver:
        channel = WebhookChannel("ops", receiver.url)
        await channel.send(ALERT)
        await channel.send_report(REPORT)
    assert "webhook-signature" not in receiver.headers[0]
    assert receiver.messages[1]["data"] == {"score": 90}


def test_keys() -> None:
    assert key_of("plain") == b"plain"
    with pytest.raises(ValueError, match="base64"):
        key_of("whsec_!")


@pytest.mark.parametrize(
    ("answer", "retry", "after"),
    [
        (500, True, None),
        (429, True, None),
        (404, False, None),
        (302, False, None),
        ("HTTP/1.1 503 X\r\nretry-after: 7\r\n\r\n", True, 7.0),
        ("SSH-2.0-x\r\n\r\n", True, None),
        ("HTTP/1.1 204", True, None),
    ],
)
async def test_what_is_no_success(answer: Any, retry: bool, after: float | None) -> None:
    async with receiving(answer) as receiver:
        with pytest.raises(DeliveryError) as caught:
            await post(Place.of(receiver.url), b"{}", {}, 5.0)
    assert (caught.value.retry, caught.value.after) == (retry, after)
    assert "x=1" not in str(caught.value), "the path may be a secret"


async def test_an_interim_answer_is_not_the_answer() -> None:
    async with receiving("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 202 X\r\n\r\n") as receiver:
        assert await post(Place.of(receiver.url), b"{}", {}, 5.0) == 202


async def test_one_that_does_not_answer_or_is_not_there() -> None:
    async with receiving(None) as receiver:
        with pytest.raises(DeliveryError, match=r"within 0\.2 s"):
            await post(Place.of(receiver.url), b"{}", {}, 0.2)
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        with pytest.raises(DeliveryError) as caught:
            await post(Place.of(f"http://127.0.0.1:{taken.getsockname()[1]}/"), b"{}", {}, 5.0)
    assert caught.value.retry


@pytest.mark.parametrize("url", ["ftp://x/", "http:///x", "https://user:pw@x/", "http://x/a b", "x"])
def test_what_is_no_place(url: str) -> None:
    with pytest.raises(ValueError):
        Place.of(url)


async def test_a_chat_gets_text_that_mentions_nobody() -> None:
    async with receiving() as receiver:
        channel = ChatChannel("chat", receiver.url)
        await channel.send(ALERT)
        await channel.send(OVER)
        await channel.send_report(REPORT)
    raised, over, report = receiver.messages
    assert raised["text"] == "*HIGH: GET /x became 50% slower*"
    (shown,) = raised["attachments"]
    assert "&lt;b&gt;3% fail&lt;/b&gt;" in shown["text"]
    assert "40 s after deploy: v2" in shown["text"]
    assert over["text"].startswith("*Resolved")
    assert over["attachments"][0]["color"] != shown["color"]
    assert "Score 90" in report["text"]


async def test_pagerduty_triggers_and_resolves_by_one_key() -> None:
    async with receiving(202, 202) as receiver:
        channel = PagerDutyChannel("pager", "KEY", receiver.url)
        await channel.send(ALERT)
        await channel.send(OVER)
    trigger, resolve = receiver.messages
    assert (trigger["event_action"], trigger["routing_key"]) == ("trigger", "KEY")
    assert trigger["payload"]["severity"] == "critical"
    assert trigger["payload"]["timestamp"] == "2025-10-09T08:53:20Z"
    assert resolve["event_action"] == "resolve"
    assert resolve["dedup_key"] == trigger["dedup_key"]


# ---- mail


class Mailbox:
    def __init__(self, *answers: str) -> None:
        self.messages: list[Any] = []
        self.answers = list(answers)
        self.signed_in: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("250"):
            self.messages.append((envelope, message_from_bytes(envelope.content, policy=default)))
        return answer

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.signed_in.append(data.login)
        return AuthResult(success=data.password == b"right", handled=False)


@contextmanager
def mail_server(mailbox: Mailbox, **options: Any) -> Iterator[int]:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def mail(port: int, **options: Any) -> MailChannel:
    given: dict[str, Any] = {"security": "none", "timeout": 5.0} | options
    return MailChannel(
        "mail", "127.0.0.1", "perfmw@example.org", ["a@example.org", "b@example.org"], port=port, **given
    )


async def test_mails_of_one_incident_are_one_thread() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        await mail(port).send(ALERT)
        await mail(port).send(OVER)
    (envelope, raised), (_, over) = mailbox.messages
    assert envelope.rcpt_tos == ["a@example.org", "b@example.org"]
    assert raised["subject"] == "[perfmw] HIGH: GET /x became 50% slower"
    assert over["in-reply-to"] == raised["message-id"]
    assert raised["auto-submitted"] == "auto-generated"
    text = raised.get_content()
    assert "Since: 2025-10-09 08:51:40 UTC" in text
    assert "- 40 s after deploy: v2" in text
    assert "after 60 s" in over.get_content()


async def test_a_report_is_attached() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        await mail(port).send_report(REPORT)
    ((_, message),) = mailbox.messages
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "report-1.html"
    assert attached.get_content() == "<p>hello"


async def test_no_line_of_a_message_becomes_a_header() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        await mail(port).send(replace(ALERT, message="x\r\nBcc: everyone@example.org\r\n\r\nhello"))
    ((envelope, message),) = mailbox.messages
    assert envelope.rcpt_tos == ["a@example.org", "b@example.org"]
    assert message["bcc"] is None


@pytest.mark.parametrize(("answer", "retry"), [("451 later", True), ("554 never", False)])
async def test_a_mail_server_that_refuses(answer: str, retry: bool) -> None:
    with mail_server(Mailbox(answer)) as port, pytest.raises(DeliveryError) as caught:
        await mail(port).send(ALERT)
    assert caught.value.retry is retry


async def test_signing_in() -> None:
    mailbox = Mailbox()
    options = {
        "authenticator": mailbox.authenticate,
        "auth_require_tls": False,
        "auth_exclude_mechanism": ["LOGIN"],
    }
    with mail_server(mailbox, **options) as port:
        await mail(port, username="u", password="right").send(ALERT)
        with pytest.raises(DeliveryError) as caught:
            await mail(port, username="u", password="wrong").send(ALERT)
    assert len(mailbox.messages) == 1
    assert not caught.value.retry
    assert "wrong" not in str(caught.value)


async def test_without_starttls_nothing_is_sent() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port, pytest.raises(DeliveryError) as caught:
        await mail(port, security="starttls", username="u", password="right").send(ALERT)
    assert not caught.value.retry
    assert mailbox.messages == []
    assert mailbox.signed_in == []


async def test_nobody_waits_for_a_mail_server_that_says_nothing() -> None:
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        task = asyncio.create_task(mail(silent.getsockname()[1], timeout=60.0).send(ALERT))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        threads = [thread for thread in threading.enumerate() if thread.name == "perfmw-mail"]
        assert all(thread.daemon for thread in threads)


# ---- OpenTelemetry


async def test_an_alert_is_a_span_with_an_event() -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    seen = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(seen))
    channel = OpenTelemetryChannel(provider=provider)
    with provider.get_tracer("app").start_as_current_span("request"):
        await channel.send(ALERT)
        await channel.send(OVER)
    raised, over = [span for span in seen.get_finished_spans() if span.name == "perfmw.alert"]
    assert raised.parent is None
    assert raised.attributes is not None
    assert raised.attributes["perfmw.alert.severity"] == "high"
    assert raised.attributes["perfmw.alert.ratio"] == 1.5
    assert raised.status.status_code is trace.StatusCode.ERROR
    assert [event.name for event in raised.events] == ["alert.raised"]
    assert over.end_time == int(1_760_000_060.0 * 1e9)


# ---- words


def test_words() -> None:
    assert [ALERT.stage, replace(ALERT, details={"update": 1}).stage, OVER.stage] == [
        "raised", "updated", "resolved",
    ]  # fmt: skip
    assert len(title_of(replace(ALERT, message="x" * 500))) == 150
    assert "and 80 more" in plain_text(replace(ALERT, details={"findings": [{"message": "m"}] * 100}))


# ---- settings


def test_channels_come_from_settings() -> None:
    tables: Any = {
        "a": {"type": "log"},
        "b": {"type": "webhook", "url": "https://example.org/x", "secret": "s"},
        "c": {"type": "slack", "url": "https://example.org/y"},
        "d": {"type": "pagerduty", "secret": "key"},
        "e": {"type": "email", "host": "mx", "sender": "a@b", "to": ["c@d"], "severity": "high"},
        "f": {"type": "opentelemetry"},
    }
    settings = Monitoring(channels=tables)
    made = channels_of(settings.channels, {"opentelemetry": OpenTelemetryChannel})
    assert [channel.name for channel in made.values()] == list("abcdef")


def test_a_secret_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = Channel(type="slack", url="env:CHAT_URL")
    with pytest.raises(SettingsError, match=r"chat.*CHAT_URL"):
        channels_of({"chat": channel})
    monkeypatch.setenv("CHAT_URL", "https://example.org/secret")
    assert channels_of({"chat": channel})["chat"].name == "chat"


SECRET = "S3CR3T"


@pytest.mark.parametrize(
    "table",
    [
        {"type": "slack", "url": f"ftp://{SECRET}"},
        {"type": "slack", "url": f"https://user:{SECRET}@x/"},
        {"type": "slak", "url": f"https://x/{SECRET}"},
        {"type": "webhook", "secret": SECRET},
        {"type": "email", "password": SECRET},
        {"type": "email", "host": "x", "sender": "me", "to": ["a@b"], "password": SECRET},
        {"type": "email", "host": "x", "sender": "a@b", "to": ["a@b"], "port": 0, "password": SECRET},
        {"type": "log", "secrets": SECRET},
        {"url": f"https://x/{SECRET}"},
        SECRET,
    ],
)
def test_a_bad_channel_is_named_and_no_secret_is_shown(table: Any) -> None:
    with pytest.raises(SettingsError, match="channel 'ops'") as caught:
        Settings(monitoring={"channels": {"ops": table}})  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)


def test_no_secret_is_shown() -> None:
    table = {"type": "webhook", "url": f"https://x/{SECRET}", "secret": SECRET}
    settings = Settings(monitoring={"channels": {"ops": table}})  # type: ignore[arg-type]
    shown = settings.to_dict()["monitoring"]
    assert SECRET not in repr(settings)
    assert SECRET not in repr(shown)
    assert shown["channels"]["ops"]["type"] == "webhook"
    assert settings.to_dict(redact=False)["monitoring"]["channels"]["ops"]["secret"] == SECRET


def test_settings_from_the_environment() -> None:
    env = {"PERFMW_MONITORING": '{"slo_availability": 0.99, "maintenance": ["0 2 * * sun 2h"]}'}
    settings = Settings.load(env=env)
    assert settings.monitoring.slo_availability == 0.99
    assert settings.monitoring.maintenance == ("0 2 * * sun 2h",)
    check_times(settings.monitoring)


@pytest.mark.parametrize(
    "field", [{"maintenance": ["0 25 * * sun 2h"]}, {"reporting_schedule": "0 0 31 2 *"}]
)
def test_times_that_never_come(field: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="monitoring"):
        check_times(Monitoring(**field))
