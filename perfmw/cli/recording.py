"""A trace of the keys that are asked for: an ASGI app around perfmw's, and the file it writes to.

Each line has four words: a key, the bytes of its response, what the app took to make it in seconds, and the
unix time of its end. ``perfmw simulate`` reads it, and ``perfmw.cache.simulation.read_trace`` for the rest.

``perfmw.cli.recording:app`` is ``perfmw.asgi:app`` recorded as the environment says, for any server and any
number of workers: all of them append whole lines to one file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from time import perf_counter, time

from perfmw.asgi.types import ASGIApp, HeaderList, Message, Receive, Scope, Send
from perfmw.cli.serving import ENV_RECORDING
from perfmw.http.keys import request_key

log = logging.getLogger("perfmw.cli")

ENV_FILE = ENV_RECORDING
ENV_KEY = "PERFMW_RECORD_KEY"
ENV_BYTES = "PERFMW_RECORD_BYTES"
ENV_PLAIN = "PERFMW_RECORD_PLAIN"
HEAD = "# perfmw trace: key size cost-seconds unix-time; keys {how}\n"
_EMPTY = re.compile(rb"# perfmw trace: [^\n]*\n")
_BATCH = 256
_SECONDS = 1.0
_MOST_COSTS = 100_000


class TraceFile:
    """Lines appended to ``path`` until it has ``max_bytes``; then no more. Other processes may append, too.

    :raises OSError: it cannot be opened. A write that fails ends the recording, not the request.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._max = max_bytes
        self._lines: list[str] = []
        self._flushed_at = perf_counter()
        self._file: int | None = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @property
    def open(self) -> bool:
        return self._file is not None

    def write(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) >= _BATCH or perf_counter() - self._flushed_at >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits, as far as there is room."""
        self._flushed_at = perf_counter()
        lines, self._lines = self._lines, []
        if self._file is None or not lines:
            return
        try:
            room = self._max - os.fstat(self._file).st_size
            data = "".join(lines).encode("ascii", "replace")
            if len(data) > room:
                data = data[: data.rfind(b"\n", 0, max(room, 0)) + 1]
            os.write(self._file, data)
            full = room <= len("".join(lines))
        except OSError as error:
            log.warning("recording ended: %s", error)
            full = True
        if full:
            self.close()

    def close(self) -> None:
        if self._lines:
            self.flush()
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None


class Recorder:
    """Records what the perfmw in ``app`` answers from its cache or stores in it; all else passes unseen.

    :param secret: hashes the keys: the trace tells which requests were for the same, and not for what.
    :param plain: leave paths as they are, and hash the queries alone.
    """

    def __init__(self, app: ASGIApp, file: TraceFile, secret: bytes, *, plain: bool = False) -> None:
        self._app = app
        self._file = file
        digest = _hashing(secret)
        self._name: Callable[[str], str] = _in_clear(digest) if plain else digest
        self._costs: OrderedDict[str, float] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and self._file.open:
            await self._watch(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "lifespan":
                self._file.close()

    async def _watch(self, scope: Scope, receive: Receive, send: Send) -> None:
        size, outcome, began = 0, "", perf_counter()

        async def watched(message: Message) -> None:
            nonlocal size, outcome
            if message["type"] == "http.response.start":
                headers = message.get("headers", [])
                outcome = _outcome(headers) if message["status"] == 200 else ""
                size = sum(len(name) + len(value) for name, value in headers)
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, watched)
        if outcome:
            self._record(_key(scope), size, perf_counter() - began, made=outcome == "stored")

    def _record(self, key: str, size: int, seconds: float, *, made: bool) -> None:
        name = self._name(key)
        if made:
            self._costs[name] = seconds
            if len(self._costs) > _MOST_COSTS:
                self._costs.popitem(last=False)
        cost = self._costs.get(name, 0.0)
        self._file.write(f"{name} {max(size, 1)} {cost:.6f} {time():.3f}\n")


def _key(scope: Scope) -> str:
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    path = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    return request_key(scope.get("scheme", "http"), host, path, scope.get("query_string", b""))


def _outcome(headers: HeaderList) -> str:
    """``hit`` or ``stored`` by the Cache-Status (RFC 9211) of perfmw; "" for neither.

    The last one is of the perfmw around the app, and one of the same name before it of the app's own, which
    keeps what rules of the app say.
    """
    fields = b",".join(value for name, value in headers if name.lower() == b"cache-status")
    caches = [[part.strip() for part in cache.split(b";")] for cache in reversed(fields.split(b","))]
    for name, *words in caches:
        if name == caches[0][0] and (found := {b"hit", b"stored"} & set(words)):
            return "hit" if b"hit" in found else "stored"
    return ""


def _hashing(key: bytes) -> Callable[[str], str]:
    def name(text: str) -> str:
        return blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=8).hexdigest()

    return name


def _in_clear(digest: Callable[[str], str]) -> Callable[[str], str]:
    """A URL in one word. What follows a "?" may be a secret: its hash tells the keys apart."""

    def name(text: str) -> str:
        url, mark, query = text.removeprefix("GET ").partition("?")
        told = f"{url}?{digest(query)}" if mark else url
        return "".join(one if one.isprintable() and not one.isspace() else "_" for one in told)

    return name


def prepare(path: Path, max_bytes: int, *, plain: bool) -> dict[str, str]:
    """Begin a trace at ``path``; the variables that make the servers of this command write to it.

    The secret that hashes is random and known to those processes alone: it is not in the file.

    :raises FileExistsError: there is something already, other than a trace without a line.
    :raises OSError: it cannot be written.
    """
    head = HEAD.format(how="in clear, queries hashed" if plain else "hashed").encode()
    if path.is_file() and path.stat().st_size < 200 and _EMPTY.fullmatch(path.read_bytes()):
        path.unlink()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(head)
    secret = secrets.token_hex(32)
    known = {ENV_FILE: str(path.absolute()), ENV_KEY: secret, ENV_BYTES: str(max_bytes)}
    return known | {ENV_PLAIN: "1" if plain else ""}


def recorded(app: ASGIApp) -> ASGIApp:
    """``app``, recorded if the environment says so."""
    path = os.environ.get(ENV_FILE)
    if not path:
        return app
    file = TraceFile(Path(path), int(os.environ[ENV_BYTES]))
    secret = bytes.fromhex(os.environ[ENV_KEY])
    return Recorder(app, file, secret, plain=bool(os.environ.get(ENV_PLAIN)))


class RecordedApp:
    """``perfmw.asgi:app``, recorded; the file is opened by the process that serves."""

    def __init__(self) -> None:
        self._made: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._made is None:
            from perfmw.asgi import app as served

            self._made = recorded(served)
        await self._made(scope, receive, send)


app = RecordedApp()
