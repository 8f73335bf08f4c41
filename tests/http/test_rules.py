"""Path patterns of cache rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.http.rules import RuleBook, compile_pattern
from perfmw.settings import CacheRule


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/items/*", b"/items/1", True),
        ("/items/*", b"/items/", False),
        ("/items/*", b"/items/1/2", False),
        ("/items/*", b"/items/1%2F2", False),
        ("/items/*", b"/items/1%2f2", False),
        ("/items/*", b"/items/..", False),
        ("/items/*", b"/items/%2e%2E", False),
        ("/items/*", b"/items/.hidden", True),
        ("/items/*.json", b"/items/1.json", True),
        ("/items/*.json", b"/items/1.jsonx", False),
        ("/items/*/parts", b"/items/7/parts", True),
        ("/items/*/parts", b"/items//parts", False),
        ("/static/**", b"/static/a/b/c.css", True),
        ("/static/**", b"/static/", True),
        ("/static/**", b"/static", False),
        ("/static/**", b"/static/../admin", False),
        ("/static/**", b"/static/%2e%2e/admin", False),
        ("/static/**", b"/static/..%2fadmin", False),
        ("/static/**", b"/static/x%5c..%5cadmin", False),
        ("/**/feed", b"/a/b/feed", True),
        ("/a b/ü", b"/a%20b/%C3%BC", True),
        ("/a.b", b"/axb", False),
        ("/", b"/", True),
        ("/**", b"/anything/\xff\n", True),
    ],
)
def test_patterns(pattern: str, path: bytes, fits: bool) -> None:
    book = RuleBook([CacheRule(path=pattern, ttl=1)])
    assert (book.match("GET", path) is not None) is fits


def plainly(pattern: str) -> re.Pattern[str]:
    """The same without telling the matcher which places it need not try."""
    out = ""
    for found in re.finditer(r"\*\*|\*|[^*]+", pattern):
        whole = pattern[: found.start()].endswith("/") and pattern[found.end() :][:1] in ("", "/")
        star = "[^/]+" if whole else "[^/]*"
        out += {"**": ".*", "*": star}.get(found[0], re.escape(found[0]))
    return re.compile(out)


PARTS = st.lists(st.sampled_from(["a", "b", "/", "*", "**"]), max_size=9).map("".join)


@given(PARTS, st.text("ab/", max_size=14))
def test_a_pattern_fits_what_its_words_say(pattern: str, path: str) -> None:
    assert bool(compile_pattern(pattern).fullmatch(path.encode())) is bool(plainly(pattern).fullmatch(path))


def test_paths_without_end_fit_nothing_and_are_not_remembered() -> None:
    book = RuleBook([CacheRule(path="/**", ttl=1)])
    assert book.match("GET", b"/" + b"a" * 2047) is not None
    assert book.match("GET", b"/" + b"a" * 2048) is None
    assert len(book._known) == 1


def test_the_first_rule_wins_and_run_time_rules_come_last() -> None:
    first, second = CacheRule(path="/a/*", ttl=1), CacheRule(path="/a/**", ttl=2)
    late = CacheRule(path="/**", ttl=3, name="late")
    book = RuleBook([first, second])
    assert book.match("GET", b"/b") is None
    book.put(late)
    assert book.match("GET", b"/a/1") is first
    assert book.match("GET", b"/a/1/2") is second
    assert book.match("GET", b"/b") is late
    assert list(book) == [first, second, late]


def test_run_time_rules_are_replaced_and_removed_by_name() -> None:
    book = RuleBook()
    book.put(CacheRule(path="/x", ttl=1, name="x"))
    book.put(changed := CacheRule(path="/x", ttl=9, name="x"))
    assert book.match("GET", b"/x") is changed
    assert len(book) == 1
    assert book.remove("x") is changed
    assert book.remove("x") is None
    assert book.match("GET", b"/x") is None


def test_methods_and_head() -> None:
    book = RuleBook([CacheRule(path="/x", ttl=1)])
    assert book.match("HEAD", b"/x") is book.match("GET", b"/x") is not None
    assert book.match("POST", b"/x") is None


def test_memory_is_bounded() -> None:
    book = RuleBook([CacheRule(path="/*", ttl=1)])
    for number in range(10_000):
        assert book.match("GET", b"/%d" % number) is not None
    assert len(book._known) <= 4096
