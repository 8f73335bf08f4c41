"""A running perfmw, asked through its dashboard's JSON API."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import click

from perfmw.cli.options import JSON
from perfmw.cli.output import Failure, Refusal

_Command = TypeVar("_Command", bound=Callable[..., Any])
TIMEOUT = 30.0
DASHBOARD_PATH = "/_perfmw"
"""Where a dashboard is unless a setting says otherwise: meant by a URL without a path."""
SERVER = click.option(
    "--url",
    "server",
    metavar="URL",
    envvar="PERFMW_URL",
    help="The dashboard of a running perfmw, such as http://127.0.0.1:8000/_perfmw.",
)
LOCAL_SERVER = click.option(
    "--url",
    "server",
    metavar="URL",
    envvar="PERFMW_URL",
    default=f"http://127.0.0.1:8000{DASHBOARD_PATH}",
    show_default=True,
    help="The dashboard of a running perfmw.",
)
TOKEN = click.option(
    "--token", envvar="PERFMW_DASHBOARD_TOKEN", help="The dashboard's token, if it wants one."
)


def asking(command: _Command) -> _Command:
    """``--url`` of a dashboard, this machine's by default, ``--token`` and ``--json``."""
    return LOCAL_SERVER(TOKEN(JSON(command)))


def asking_if_named(command: _Command) -> _Command:
    """The same, but without ``--url`` no server is asked."""
    return SERVER(TOKEN(JSON(command)))


class Api:
    """``GET`` and ``POST`` below ``api/v1`` of the dashboard at ``url``.

    Use it as a context manager. Every method raises Failure when nobody answers or the answer is no perfmw's,
    and Refusal with the server's own words when it does not accept what was asked.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise Refusal(f"{url} is no URL of a dashboard, such as http://127.0.0.1:8000/_perfmw")
        if not parts.path.strip("/"):
            url = f"{parts.scheme}://{parts.netloc}{DASHBOARD_PATH}"
        self._url, self._path = url.rstrip("/"), urlsplit(url).path.rstrip("/")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.netloc, timeout=TIMEOUT)
        self._headers = {"accept": "application/json", "origin": f"{parts.scheme}://{parts.netloc}"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close()

    def get(self, path: str, **query: Any) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask(f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._ask(path, json.dumps(body).encode())

    def read(self, path: str, kind: str) -> bytes:
        """What lies at ``path`` below the dashboard, which is of the media type ``kind``."""
        status, given, answer = self._exchange("GET", path, None, {"accept": kind})
        if status >= 300:
            raise self._refused(status, answer)
        if given != kind:
            raise self._no_dashboard()
        return answer

    def _ask(self, path: str, data: bytes | None = None) -> Any:
        method = "GET" if data is None else "POST"
        more = {"content-type": "application/json"} if data is not None else {}
        status, _, answer = self._exchange(method, f"/api/v1/{path}", data, more)
        if status >= 300:
            raise self._refused(status, answer)
        return self._decoded(answer)

    def _exchange(
        self, method: str, path: str, data: bytes | None, more: dict[str, str]
    ) -> tuple[int, str, bytes]:
        """Status, media type and body."""
        try:
            return self._send(method, self._path + path, data, self._headers | more)
        except (http.client.HTTPException, OSError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Failure(
                f"{self._url} does not answer ({why}); see that the server runs, and that --url names it"
            ) from None

    def _send(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str, bytes]:
        """One connection for all, so that of several workers it is always the same that answers."""
        for attempt in (1, 2):
            try:
                self._connection.request(method, path, data, headers)
                with self._connection.getresponse() as answer:
                    return answer.status, answer.headers.get_content_type(), answer.read()
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self._connection.close()
                if attempt == 2 or data is not None:
                    raise
        raise AssertionError

    def _decoded(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError:
            raise self._no_dashboard() from None

    def _no_dashboard(self) -> Failure:
        return Failure(
            f'{self._url} is no dashboard of perfmw; is the setting dashboard "loopback" or "token" there?'
        )

    def _refused(self, status: int, data: bytes) -> click.ClickException:
        try:
            detail = str(json.loads(data)["detail"])
        except (ValueError, KeyError, TypeError):
            return self._no_dashboard()
        if status == 401:
            return Refusal(f"{self._url} wants its token, as --token or PERFMW_DASHBOARD_TOKEN: {detail}")
        return Refusal(detail) if status in (400, 403, 422) else Failure(detail)
