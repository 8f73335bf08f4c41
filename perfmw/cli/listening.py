"""Listening sockets, made before a server starts so that a taken port is a clear message."""

from __future__ import annotations

import errno
import socket


class PortError(OSError):
    """Nothing can listen there; the message says why and what to choose instead."""


def listen(host: str, port: int, *, backlog: int = 2048) -> socket.socket:
    """A listening TCP socket on ``host`` and ``port`` (0: a free one).

    :raises PortError: the port is taken or not allowed, or the host is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise PortError(f"--host {host}: {error.strerror}") from None
    # With the protocol named, asyncio turns Nagle's algorithm off for the connections accepted here:
    # otherwise head and body of a response lie 40 ms apart.
    sock = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(backlog)
    except (OSError, OverflowError) as error:
        sock.close()
        raise PortError(_explain(error, host, port)) from None
    sock.set_inheritable(True)
    return sock


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, for a process that is told its port before it starts."""
    with listen("127.0.0.1", 0) as sock:
        port: int = sock.getsockname()[1]
        return port


def _explain(error: OSError | OverflowError, host: str, port: int) -> str:
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use by another program; choose another with --port N, "
            "or --port 0 for any free one"
        )
    if code == errno.EACCES:
        return f"port {port} needs more rights than this user has; choose one from 1024 up with --port N"
    if code == errno.EADDRNOTAVAIL:
        return f"--host {host} is not an address of this machine; 127.0.0.1 and 0.0.0.0 always are"
    return f"cannot listen on {host} port {port}: {error}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    return host == "localhost" or host == "::1" or host.startswith("127.")
