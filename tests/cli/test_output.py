"""Tables as they are shown."""

from __future__ import annotations

from perfmw.cli.output import table

HEAD = ("name", "hits", "misses", "read")
ROWS = (("GET /items/{id}", "35", "30", "1.0 ms"), ("GET /a", "1", "12345", "\x1b[31m"))
RIGHT = frozenset({1, 2, 3})


def test_columns_are_aligned_and_what_steers_a_terminal_is_shown() -> None:
    assert table(HEAD, ROWS, right=RIGHT, room=80).splitlines() == [
        "name             hits  misses    read",
        "GET /items/{id}    35      30  1.0 ms",
        "GET /a              1   12345   �[31m",
    ]


def test_a_table_wider_than_the_terminal_goes_on_below_with_its_first_column() -> None:
    parts = table(HEAD, ROWS, right=RIGHT, room=30).split("\n\n")
    assert [part.splitlines()[0].split() for part in parts] == [["name", "hits", "misses"], ["name", "read"]]
    assert all(len(line) <= 30 for part in parts for line in part.splitlines())


def test_a_first_column_that_has_no_room_is_shown_all_the_same() -> None:
    parts = table(HEAD, ROWS, right=RIGHT, room=5).split("\n\n")
    assert [part.splitlines()[1].split()[-1] for part in parts] == ["35", "30", "ms"]


def test_without_a_terminal_lines_are_as_long_as_they_need_to_be() -> None:
    wide = [("x" * 300, "1", "2", "3")]
    assert len(table(HEAD, wide, right=RIGHT).splitlines()) == 2
