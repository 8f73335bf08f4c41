"""What a write outdates (section 4.4)."""

from __future__ import annotations

import pytest

from perfmw.http.invalidation import outdated_keys
from tests.http.build import get, head


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "BREW"])
@pytest.mark.parametrize("status", [200, 201, 204, 302])
def test_a_write_outdates_its_target(method: str, status: int) -> None:
    assert outdated_keys(get("/a?b=1", method=method), head(status=status)) == [
        "GET http://example.org/a?b=1"
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND"])
def test_safe_methods_outdate_nothing(method: str) -> None:
    assert outdated_keys(get(method=method), head()) == []


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_failed_writes_outdate_nothing(status: int) -> None:
    assert outdated_keys(get(method="POST"), head(status=status)) == []


def test_location_and_content_location_on_the_same_origin() -> None:
    response = head(
        status=201,
        location="items/7",
        content_location=["http://example.org/b", "https://example.org/c", "//evil/d", "http://[", "/shop/"],
    )
    assert outdated_keys(get("/shop/", method="POST"), response) == [
        "GET http://example.org/shop/",
        "GET http://example.org/shop/items/7",
        "GET http://example.org/b",
    ]
