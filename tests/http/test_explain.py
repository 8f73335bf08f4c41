"""Explanations: every reason the cache gives has words, and secrets stay out of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import perfmw.http
from perfmw.http.explain import REASONS, explain, meaning_of
from perfmw.http.messages import Request, ResponseHead
from perfmw.settings import CacheRule
from tests.http.build import NOW, SAFE, date, get, head


@pytest.mark.parametrize(
    ("request_", "response", "reason", "decided_by"),
    [
        (get(), head("max-age=60"), "max-age", "cache-control: max-age=60"),
        (get(), head(expires=date(60)), "expires", f"expires: {date(60)}"),
        (get(), head("public", cdn_cache_control="no-store"), "no-store", "cdn-cache-control: no-store"),
        (get(), head("private", cdn_cache_control="max-age=9"), "private", "cache-control: private"),
        (
            get(),
            head("private", cdn_cache_control="max-age=9", perfmw_cache_control="no-store"),
            "no-store",
            "perfmw-cache-control: no-store",
        ),
        (get(), head(), "no-freshness", ""),
        (get(cookie="id=secret"), head("max-age=60"), "cookie", "cookie"),
        (get(), head("max-age=60", set_cookie="id=secret"), "set-cookie", "set-cookie"),
        (get(method="POST"), head("max-age=60"), "method", ""),
        (get(cache_control="no-store"), head("max-age=60"), "request-no-store", "cache-control: no-store"),
    ],
)
def test_an_exchange_is_explained(
    request_: Request, response: ResponseHead, reason: str, decided_by: str
) -> None:
    found = explain(request_, response, now=NOW, policy=SAFE)
    assert (found.reason, found.decided_by) == (reason, decided_by)
    assert found.cacheable is (found.lifetime is not None)
    assert found.meaning
    assert "secret" not in repr(found)


def test_key_vary_and_rule_are_shown() -> None:
    rule = CacheRule(path="/items/*", ttl=30, name="items")
    found = explain(
        get("/items/7?x=1", accept="Text/Html"), head(vary="accept, x"), now=NOW, policy=SAFE, rule=rule
    )
    assert (found.key, found.rule, found.lifetime, found.age) == (
        "GET http://example.org/items/7?x=1",
        "items",
        30,
        0,
    )
    assert found.vary == {"accept": "text/html", "x": "absent"}


def test_every_reason_in_the_code_has_words() -> None:
    source = "".join(path.read_text() for path in Path(perfmw.http.__file__).parent.glob("*.py"))
    given = set(re.findall(r'(?:return|else|and|or \() *"([a-z][a-z-]+)"', source))
    assert {"set-cookie", "vary-star", "forwarded"} <= given
    actions_and_words = {"forward", "uri-miss", "min-fresh"}
    assert given - REASONS.keys() == actions_and_words


def test_a_reason_of_a_plugin_stands_for_itself() -> None:
    assert meaning_of("vetoed") == ("vetoed", "")
