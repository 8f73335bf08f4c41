from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.optimization.paths import contains, overlaps, pattern_of

patterns = st.lists(st.sampled_from(["a", "b", "*", "**", "a*"]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
texts = st.text("ab/", max_size=8).map(lambda text: "/" + text)


def matches(pattern: str, path: str) -> bool:
    expression = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.fullmatch(expression, path) is not None


@pytest.mark.parametrize(
    ("template", "pattern"),
    [
        ("/items", "/items"),
        ("/items/{id}", "/items/*"),
        ("/items/{id:int}/reviews", "/items/*/reviews"),
        ("/items/<int:id>/", "/items/*/"),
        ("/files/{name}.json", "/files/*.json"),
        ("/files/{path:path}", "/files/**"),
        ("/files/<path:rest>", "/files/**"),
        ("/", "/"),
        ("/{page}", None),
        ("/{path:path}", None),
        ("other", None),
        ("", None),
        ("/odd/{id", None),
        ("/literal*star", None),
    ],
)
def test_patterns_of_templates(template: str, pattern: str | None) -> None:
    assert pattern_of(template) == pattern


@pytest.mark.parametrize(
    ("one", "two", "together"),
    [
        ("/items/*", "/items/new", True),
        ("/items/*", "/items/*/reviews", False),
        ("/items/**", "/items/*/reviews", True),
        ("/items/*", "/users/*", False),
        ("/a/*.json", "/a/x*", True),
        ("/a/*.json", "/a/*.xml", False),
        ("/**/end", "/start/*", True),
        ("/x", "/x", True),
    ],
)
def test_overlaps(one: str, two: str, together: bool) -> None:
    assert overlaps(one, two) is together
    assert overlaps(two, one) is together


@given(patterns, patterns, texts)
def test_a_common_path_is_an_overlap(one: str, two: str, path: str) -> None:
    if matches(one, path) and matches(two, path):
        assert overlaps(one, two)


@given(patterns, patterns, texts)
def test_what_contains_a_pattern_matches_all_of_it(wide: str, narrow: str, path: str) -> None:
    if contains(wide, narrow) and matches(narrow, path):
        assert matches(wide, path)


@given(patterns)
def test_a_pattern_contains_and_overlaps_itself(pattern: str) -> None:
    assert contains(pattern, pattern)
    assert overlaps(pattern, pattern)
