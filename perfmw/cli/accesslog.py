"""Access logs: the common and combined formats, and that of the EPA-HTTP trace.

Broken lines are counted and skipped, never guessed at: a log always has some.
"""

from __future__ import annotations

import gzip
import re
from calendar import timegm
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from perfmw.cache.unpacking import open_unpacked

MAX_LINE = 64 * 1024
"""Longer lines are broken: no server logs a request line of this size."""

_LINE = re.compile(
    r'(?P<client>\S+) (?:\S+ [^\["]*)?\[(?P<when>[^\]"]*)\] '
    r'"(?P<request>.*?)(?<!\\)" (?P<status>\d{3}) (?P<size>\d{1,18}|-)'
    r'(?: "(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)".*)?\s*\Z'
)
_REQUEST = re.compile(r"(?P<method>[!#$%&'*+.^_`|~0-9A-Za-z-]+) (?P<target>\S.*?)(?: HTTP/\d(?:\.\d)?)?\s*\Z")
_DATE = re.compile(r"(\d{1,2})/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d)(?: ([+-])(\d\d)(\d\d))?\Z")
_EPA_DATE = re.compile(r"(\d{1,2}):(\d\d):(\d\d):(\d\d)\Z")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)")
_UNSAFE = re.compile(rb"[^\x21-\x7e]|[#<>\"\\^`{|}]")


class LogLineError(ValueError):
    """A line that is no access-log entry; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One logged request.

    ``time`` is in seconds: unix time, or from the start of the month where the log says no more.
    ``target`` is the path and query as they go on the wire; ``size`` the body's bytes, None for ``-``.
    """

    client: str
    time: float
    method: str
    target: str
    status: int
    size: int | None
    referrer: str = ""
    agent: str = ""


@dataclass(slots=True)
class LogStats:
    """What reading a log met. ``examples`` holds the first broken lines as (line number, reason)."""

    lines: int = 0
    broken: int = 0
    examples: list[tuple[int, str]] = field(default_factory=list)

    def note_broken(self, reason: str) -> None:
        self.broken += 1
        if len(self.examples) < 5:
            self.examples.append((self.lines, reason))


def parse_line(line: str) -> LogEntry:
    """Read one line, given without its line break.

    :raises LogLineError: the line is in none of the formats.
    """
    if len(line) > MAX_LINE:
        raise LogLineError(f"longer than {MAX_LINE} characters")
    match = _LINE.match(line)
    if match is None:
        raise LogLineError("not in common, combined or EPA format")
    request = _REQUEST.match(match["request"])
    if request is None:
        raise LogLineError("the request is not of the form METHOD target")
    return LogEntry(
        client=match["client"],
        time=parse_time(match["when"]),
        method=request["method"],
        target=wire_target(request["target"]),
        status=_status(match["status"]),
        size=None if match["size"] == "-" else int(match["size"]),
        referrer=_dash_is_empty(match["referrer"]),
        agent=_dash_is_empty(match["agent"]),
    )


def _status(text: str) -> int:
    status = int(text)
    if not 100 <= status <= 599:
        raise LogLineError(f"{text} is no HTTP status")
    return status


def _dash_is_empty(text: str | None) -> str:
    return "" if text is None or text == "-" else text


def parse_time(text: str) -> float:
    """Seconds of ``10/Oct/2000:13:55:36 -0700``, or of EPA's ``29:23:53:25`` (day:hour:minute:second).

    :raises LogLineError: it is neither, or no such moment exists.
    """
    if match := _EPA_DATE.match(text):
        day, hour, minute, second = (int(part) for part in match.groups())
        _check_clock(text, day, hour, minute, second)
        return float(((day * 24 + hour) * 60 + minute) * 60 + second)
    match = _DATE.match(text)
    if match is None or match[2] not in _MONTHS:
        raise LogLineError(f"the time {text[:40]!r} is not understood")
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    _check_clock(text, day, hour, minute, second)
    local = timegm((year, _MONTHS.index(match[2]) + 1, day, hour, minute, second))
    return float(local - _offset(match))


def _check_clock(text: str, day: int, hour: int, minute: int, second: int) -> None:
    if not (1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        raise LogLineError(f"the time {text!r} does not exist")


def _offset(match: re.Match[str]) -> int:
    if match[7] is None:
        return 0
    seconds = int(match[8]) * 3600 + int(match[9]) * 60
    return -seconds if match[7] == "-" else seconds


def wire_target(logged: str) -> str:
    """The logged target as it can be sent: origin form, unsafe bytes percent-encoded, fragment dropped.

    :raises LogLineError: it names no path.
    """
    if "\\" in logged:
        logged = _ESCAPE.sub(_unescape, logged)
    if logged == "*":
        return logged
    lowered = logged[:8].lower()
    if lowered.startswith(("http://", "https://")):
        logged = "/" + logged.split("//", 1)[1].partition("/")[2]
    if not logged.startswith("/"):
        raise LogLineError(f"the target {logged[:40]!r} is not a path")
    raw = logged.partition("#")[0].encode("latin-1", "replace")
    return _UNSAFE.sub(lambda byte: b"%%%02X" % byte[0][0], raw).decode("ascii")


_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "v": "\v", "f": "\f"}


def _unescape(match: re.Match[str]) -> str:
    text = match[1]
    if len(text) == 3:
        return chr(int(text[1:], 16))
    return _CONTROL.get(text, text)


def parse_lines(lines: Iterable[bytes], stats: LogStats) -> Iterator[LogEntry]:
    """Entries of a log's lines in their order; ``stats`` is kept up to date. Empty lines are not lines."""
    for raw in lines:
        line = raw.decode("latin-1").rstrip("\r\n")
        if not line.strip():
            continue
        stats.lines += 1
        try:
            entry = parse_line(line)
        except LogLineError as error:
            stats.note_broken(str(error))
        else:
            yield entry


def read_log(path: Path, stats: LogStats) -> Iterator[LogEntry]:
    """Entries of the log at ``path``.

    :raises OSError: it cannot be read. A gzip file that ends early counts as one broken line.
    """
    with open_unpacked(path) as file:
        try:
            yield from parse_lines(file, stats)
        except (EOFError, gzip.BadGzipFile) as error:
            stats.lines += 1
            stats.note_broken(f"the compressed file is damaged: {error}")
