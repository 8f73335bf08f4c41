from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cli.accesslog import (
    MAX_LINE,
    LogEntry,
    LogLineError,
    LogStats,
    parse_line,
    parse_lines,
    parse_time,
    read_log,
    wire_target,
)

COMMON = 'a.example - - [10/Oct/2000:13:55:36 -0700] "GET /x?y=1 HTTP/1.0" 200 2326'
COMBINED = COMMON + ' "http://a.example/start" "Mozilla/5.0 (\\"quoted\\")"'
EPA = 'client00000 [29:23:53:25] "GET /Software.html HTTP/1.0" 200 1497'


def test_common_format() -> None:
    assert parse_line(COMMON) == LogEntry("a.example", 971211336.0, "GET", "/x?y=1", 200, 2326)


def test_combined_format_has_referrer_and_agent() -> None:
    entry = parse_line(COMBINED)
    assert (entry.referrer, entry.agent) == ("http://a.example/start", 'Mozilla/5.0 (\\"quoted\\")')


def test_epa_format_counts_time_from_the_start_of_the_month() -> None:
    entry = parse_line(EPA)
    assert entry.time == 29 * 86400 + 23 * 3600 + 53 * 60 + 25
    assert (entry.client, entry.target, entry.status, entry.size) == (
        "client00000",
        "/Software.html",
        200,
        1497,
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('h - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 304 -', ("GET", "/", 304, None)),
        ('h - john doe [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 1', ("GET", "/", 200, 1)),
        ('h [01:00:00:00] "GET /a b.html HTTP/1.0" 200 1', ("GET", "/a%20b.html", 200, 1)),
        ('h [01:00:00:00] "GET /old" 200 1', ("GET", "/old", 200, 1)),
        ('h [01:00:00:00] "GET /a"b.html HTTP/1.0" 200 1', ("GET", "/a%22b.html", 200, 1)),
        ('h [01:00:00:00] "GET http://h.example/p?q HTTP/1.0" 200 1', ("GET", "/p?q", 200, 1)),
        ('h [01:00:00:00] "GET /p#part HTTP/1.0" 200 1', ("GET", "/p", 200, 1)),
        ('h [01:00:00:00] "POST /form HTTP/1.0" 501 0', ("POST", "/form", 501, 0)),
        ('h [01:00:00:00] "OPTIONS * HTTP/1.0" 200 0', ("OPTIONS", "*", 200, 0)),
        ('h [01:00:00:00] "GET /\\xc3\\xa4 HTTP/1.0" 200 1', ("GET", "/%C3%A4", 200, 1)),
        ('h [01:00:00:00] "GET /%2e%2E/%zz HTTP/1.0" 200 1', ("GET", "/%2e%2E/%zz", 200, 1)),
    ],
)
def test_odd_lines_that_are_entries(line: str, expected: tuple[str, str, int, int | None]) -> None:
    entry = parse_line(line)
    assert (entry.method, entry.target, entry.status, entry.size) == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not in common"),
        ("garbage", "not in common"),
        ('h [01:00:00:00] "GET / HTTP/1.0" 404', "not in common"),
        ('h [01:00:00:00] "GET / HTTP/1.0" 2000 1', "not in common"),
        ('h [01:00:00:00] "GET / HTTP/1.0" 999 1', "999 is no HTTP status"),
        ('h [01:00:00:00] "-" 408 0', "METHOD target"),
        ('h [01:00:00:00] "\\x16\\x03\\x01" 400 226', "METHOD target"),
        ('h [01:00:00:00] "GET index.html HTTP/1.0" 400 -', "not a path"),
        ('h [45:00:00:00] "GET / HTTP/1.0" 200 1', "does not exist"),
        ('h - - [10/Okt/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 1', "not understood"),
        ('h - - [yesterday] "GET / HTTP/1.0" 200 1', "not understood"),
        (COMBINED[:-5], "not in common"),
        ("x" * (MAX_LINE + 1), "longer than"),
    ],
)
def test_broken_lines_say_what_is_wrong(line: str, reason: str) -> None:
    with pytest.raises(LogLineError, match=reason):
        parse_line(line)


def test_broken_lines_are_counted_with_their_numbers_and_skipped() -> None:
    stats = LogStats()
    entries = list(parse_lines([EPA.encode(), b"broken\n", b"\n", EPA.encode() + b"\r\n"], stats))
    assert [entry.target for entry in entries] == ["/Software.html"] * 2
    assert (stats.lines, stats.broken) == (3, 1)
    assert stats.examples == [(2, "not in common, combined or EPA format")]


def test_only_the_first_broken_lines_are_kept_as_examples() -> None:
    stats = LogStats()
    assert list(parse_lines([b"broken"] * 100, stats)) == []
    assert (stats.broken, len(stats.examples)) == (100, 5)


def test_gzip_is_told_by_its_content_not_its_name(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(gzip.compress(f"{EPA}\n{COMMON}\n".encode()))
    assert [entry.target for entry in read_log(path, LogStats())] == ["/Software.html", "/x?y=1"]


def test_a_gzip_file_that_ends_early_is_one_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "access.log.gz"
    path.write_bytes(gzip.compress(b"".join(b"%d %s\n" % (n, EPA.encode()) for n in range(5_000)))[:-600])
    stats = LogStats()
    entries = list(read_log(path, stats))
    assert len(entries) == stats.lines - stats.broken
    assert "damaged" in stats.examples[-1][1]


@given(st.datetimes(datetime(1971, 1, 1), datetime(2099, 12, 31)), st.integers(-14 * 60, 14 * 60))
def test_times_round_trip(when: datetime, minutes: int) -> None:
    when = when.replace(microsecond=0, tzinfo=UTC)
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    text = f"{when:%d/%b/%Y:%H:%M:%S} {sign}{hours:02}{rest:02}"
    assert parse_time(text) == when.timestamp() - minutes * 60


@given(st.text(max_size=200))
def test_any_text_is_an_entry_or_a_log_line_error(line: str) -> None:
    try:
        entry = parse_line(line)
    except LogLineError:
        return
    assert entry.target


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_targets_are_always_fit_for_the_wire(rest: str) -> None:
    target = wire_target("/" + rest)
    assert target.startswith("/")
    assert all("!" <= character <= "~" for character in target)
    assert wire_target(target) == target


@given(
    st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True),
    st.from_regex(r"/[a-zA-Z0-9/._~%?=&-]{0,40}", fullmatch=True),
    st.integers(100, 599),
    st.one_of(st.none(), st.integers(0, 10**15)),
)
def test_entries_round_trip(client: str, target: str, status: int, size: int | None) -> None:
    logged = "-" if size is None else size
    line = f'{client} - - [01/Jan/2024:00:00:00 +0000] "GET {target} HTTP/1.1" {status} {logged}'
    assert parse_line(line) == LogEntry(client, 1704067200.0, "GET", target, status, size)
