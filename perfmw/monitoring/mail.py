"""Alerts and reports by e-mail."""

from __future__ import annotations

import asyncio
import hashlib
import smtplib
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Literal

from perfmw.contracts import Alert
from perfmw.monitoring.posting import DeliveryError
from perfmw.monitoring.telling import ReportFile, plain_text, title_of

Security = Literal["starttls", "tls", "none"]
_PORTS: dict[str, int] = {"starttls": 587, "tls": 465, "none": 25}


class MailChannel:
    """Sends by SMTP, in a thread of its own that keeps nobody from stopping.

    All mails about one incident are one thread in the reader's mailbox.

    :param security: ``starttls`` and ``tls`` check the server's certificate; without them
        nothing is sent and nobody signs in.
    :param context: for certificates of your own.
    """

    def __init__(
        self,
        name: str,
        host: str,
        sender: str,
        to: Sequence[str],
        *,
        port: int | None = None,
        security: Security = "starttls",
        username: str = "",
        password: str = "",
        timeout: float = 10.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self._host, self._port = host, port or _PORTS[security]
        self._sender, self._to = sender, list(to)
        self._security = security
        self._account = (username, password)
        self._timeout = timeout
        self._context = context

    async def send(self, alert: Alert) -> None:
        message = self._message(title_of(alert))
        thread = self._thread(alert)
        if alert.stage == "raised":
            del message["Message-ID"]
            message["Message-ID"] = thread
        else:
            message["In-Reply-To"] = message["References"] = thread
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from who is on holiday
        message.set_content(plain_text(alert))
        await in_a_thread(lambda: self._deliver(message))

    async def send_report(self, report: ReportFile) -> None:
        """The report as an attached file."""
        message = self._message(report.title)
        message.set_content(report.summary + "\n")
        message.add_attachment(report.html, maintype="text", subtype="html", filename=f"{report.name}.html")
        await in_a_thread(lambda: self._deliver(message))

    def _thread(self, alert: Alert) -> str:
        digest = hashlib.sha256(f"{alert.key}:{alert.raised_at}".encode()).hexdigest()[:32]
        return f"<{digest}@{self._sender.rpartition('@')[2]}>"

    def _message(self, subject: str) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = "[perfmw] " + " ".join(subject.split())
        message["From"] = self._sender
        message["To"] = ", ".join(self._to)
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2])
        return message

    def _deliver(self, message: EmailMessage) -> None:
        try:
            with self._connected() as server:
                refused = server.send_message(message, self._sender, self._to)
        except smtplib.SMTPResponseException as error:
            # 4xx are for now, 5xx for good (RFC 5321 section 4.2.1); an answer may repeat what was sent
            raise DeliveryError(
                f"{self._host} answered {error.smtp_code}", retry=error.smtp_code < 500
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise DeliveryError(
                f"{self._host} refused all addresses: {codes}", retry=any(code < 500 for code in codes)
            ) from None
        except (OSError, smtplib.SMTPException) as error:
            retry = not isinstance(error, smtplib.SMTPNotSupportedError | ssl.SSLCertVerificationError)
            raise DeliveryError(f"{self._host}: {error}", retry=retry) from None
        if refused:
            # the others have it: to try again would tell them twice
            raise DeliveryError(f"{self._host} refused {sorted(refused)}", retry=False)

    def _connected(self) -> smtplib.SMTP:
        context = self._context
        if context is None and self._security != "none":
            context = ssl.create_default_context()
        server: smtplib.SMTP
        if self._security == "tls":
            server = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout, context=context)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
        try:
            if self._security == "starttls":
                server.starttls(context=context)
            if self._account[0]:
                server.login(*self._account)
        except BaseException:
            server.close()
            raise
        return server


async def in_a_thread(work: Callable[[], Any]) -> Any:
    """Run ``work`` in a daemon thread: unlike an executor's, none waits for it at the process's end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():  # nobody waits any more
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="perfmw-mail", daemon=True).start()
    return await future
