"""``perfmw proxy``: a caching reverse proxy in front of any HTTP origin."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from perfmw.cli.config import load_settings
from perfmw.cli.options import ANNOUNCED, HOST, announce, base_url, port
from perfmw.cli.output import Refusal
from perfmw.settings import Settings, SettingsError

if TYPE_CHECKING:
    from perfmw.asgi.proxy import ReverseProxy

_KEEP_ALIVE = 65
"""Seconds a client's idle connection is kept, longer than common clients and load balancers keep theirs."""


@click.command()
@click.argument("origin", metavar="URL")
@HOST
@port(8080)
@click.option(
    "--rfc", is_flag=True, help="Exactly what RFC 9111 allows, without the guards for cookies (rfc_strict)."
)
@click.option(
    "--pass-host/--own-host",
    default=True,
    show_default=True,
    help="Send the client's Host to the origin, or the origin's own name.",
)
@click.option(
    "--connect-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds to wait for a connection to the origin.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds to wait for the origin's next bytes; then 504, or the connection is cut.",
)
@ANNOUNCED
def proxy(
    origin: str,
    host: str,
    port: int,
    rfc: bool,
    pass_host: bool,
    connect_timeout: float,
    timeout: float,
    as_json: bool,
) -> None:
    """Serve what the HTTP origin at URL serves, from the cache wherever that is right.

    The origin may come up later. Settings come from PERFMW_* in the environment, perfmw.toml and
    pyproject.toml: see `perfmw config show`.
    """
    from perfmw.asgi.proxy import Limits, ReverseProxy
    from perfmw.cli import serving

    settings = load_settings()
    if rfc:
        settings = settings.replace(rfc_strict=True)
    serving.require("uvicorn")
    serving.require("httpx")
    limits = Limits(connect=connect_timeout, read=timeout, write=timeout)
    try:
        app = ReverseProxy(origin, pass_host=pass_host, trusted=settings.trust_forwarded_host, limits=limits)
    except ValueError as error:
        raise Refusal(str(error)) from None
    with serving.open_port(serving.Plan(host, port)) as listener:
        base = base_url(host, listener.getsockname()[1])
        serve(app, settings, listener, partial(announce, "proxy for", origin, base, None, as_json=as_json))


def serve(app: ReverseProxy, settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Run the proxy until it is told to stop, and exit."""
    import uvicorn

    from perfmw.cli.recording import recorded
    from perfmw.middleware import PerfMiddleware

    try:
        wrapped = PerfMiddleware(app, settings=settings)
    except SettingsError as error:
        raise Refusal(str(error)) from None
    # Date and Server are the origin's to send; client addresses are believed only where the settings say so
    config = uvicorn.Config(
        recorded(wrapped),
        http=_protocol(),
        access_log=False,
        date_header=False,
        server_header=False,
        proxy_headers=settings.trust_forwarded_host,
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE,
    )
    logging.getLogger("uvicorn.error").addFilter(_without_traceback)
    ready()
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # it stopped in order before it passed the signal on
    sys.exit(0 if server.started else 1)


def _protocol() -> Any:
    """The protocol that passes informational responses on, where what it needs is installed."""
    try:
        from perfmw.cli.protocol import Protocol
    except ImportError:
        return "auto"
    return Protocol


def _without_traceback(record: logging.LogRecord) -> bool:
    """An origin that breaks off is no fault of ours: one line instead of a traceback."""
    from perfmw.asgi.proxy import OriginFailedError

    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, OriginFailedError):
        record.msg, record.args, record.exc_info = str(error), (), None
    return True
