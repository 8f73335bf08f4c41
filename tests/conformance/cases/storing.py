"""Which fields are stored and passed on, and keys (RFC 9111 sections 2 and 3.1; RFC 9110 section 7.6.1)."""

from __future__ import annotations

from tests.conformance.cases.build import HOUR, case
from tests.conformance.cases.conditional import UPDATED
from tests.conformance.model import Case, Step

HOP_BY_HOP = [
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Authenticate", "Basic"),
    ("Proxy-Authentication-Info", "x"),
    ("Proxy-Authorization", "Basic x"),
    ("Proxy-Connection", "keep-alive"),
    ("TE", "trailers"),
    ("Upgrade", "foo"),
    ("Trailer", "Foo"),
]


_FIELDS = [
    case(
        f"stores-{name.lower()}",
        "9111 3.1",
        "required",
        f"{name} is stored",
        Step(answer=[HOUR, (name, value)]),
        Step(expect="cached", see=[(name, value)]),
    )
    for name, value, _ in UPDATED
]
_FIELDS += [
    case(
        f"omits-{name.lower()}",
        "9111 3.1",
        "required",
        f"{name} is not stored",
        Step(answer=[HOUR, (name, value)]),
        Step(expect="cached", unseen=[name]),
    )
    for name, value in HOP_BY_HOP
]
_FIELDS += [
    case(
        "omits-connection",
        "9111 3.1",
        "required",
        "fields that Connection names are not stored",
        Step(answer=[HOUR, ("Connection", "a, b"), ("A", "1"), ("B", "2"), ("C", "3")]),
        Step(expect="cached", unseen=["a", "b"], see=[("C", "3")]),
    ),
    case(
        "forwards-connection",
        "9110 7.6.1",
        "required",
        "fields that Connection names are not passed on",
        Step(
            send=[("Connection", "a"), ("A", "1"), ("C", "3")],
            answer=[("Connection", "x"), ("X", "1")],
            unseen=["x"],
            unsent=["a"],
            sent=[("C", "3")],
        ),
    ),
    case(
        "stores-repeated",
        "9110 5.3",
        "required",
        "repeated fields are stored in order",
        Step(answer=[HOUR, ("X", "1"), ("Y", "a"), ("X", "2")]),
        Step(expect="cached", see=[("X", "1, 2")]),
    ),
    case(
        "stores-etag",
        "9111 3.1",
        "required",
        "ETag is stored",
        Step(answer=[HOUR, ("ETag", '"abc"')]),
        Step(expect="cached", see=[("ETag", '"abc"')]),
    ),
    case(
        "stores-date",
        "9110 6.6.1",
        "required",
        "Date is the origin's",
        Step(
            answer=[HOUR, ("Date", "Wed, 01 Jan 2020 00:00:00 GMT")],
            see=[("Date", "Wed, 01 Jan 2020 00:00:00 GMT")],
        ),
    ),
    case(
        "stores-date-none",
        "9110 6.6.1",
        "required",
        "a missing Date is made",
        Step(answer=[HOUR], date=False, check=lambda answer: "" if answer.get("date") else "no Date"),
        Step(expect="cached", check=lambda answer: "" if len(answer.all("date")) == 1 else "no Date"),
    ),
    case(
        "via",
        "9110 7.6.3",
        "required",
        "Via names the proxy in both directions",
        Step(
            answer=[HOUR, ("Via", "1.0 far")],
            sent=[("Via", "1.1 near, 1.1 perfmw")],
            send=[("Via", "1.1 near")],
            see=[("Via", "1.0 far, 1.1 perfmw")],
        ),
    ),
    case(
        "server",
        "9110 10.2.4",
        "required",
        "Server is the origin's",
        Step(answer=[HOUR, ("Server", "origin/1")], see=[("Server", "origin/1")]),
    ),
    case(
        "server-none",
        "9110 10.2.4",
        "optimal",
        "no Server is made",
        Step(answer=[HOUR], unseen=["server"]),
    ),
    case(
        "status-hit",
        "9211 2.1",
        "optimal",
        "Cache-Status says hit and ttl",
        Step(answer=[HOUR]),
        Step(
            expect="cached",
            check=lambda a: "" if "; hit; ttl=" in (a.get("cache-status") or "") else "no hit",
        ),
    ),
    case(
        "status-appended",
        "9211 2",
        "required",
        "a Cache-Status of the origin stays, ours comes after",
        Step(
            answer=[HOUR, ("Cache-Status", "Origin; hit")],
            check=lambda a: (
                "" if (a.get("cache-status") or "").startswith("Origin; hit, perfmw; fwd") else "order"
            ),
        ),
    ),
]


_KEYS: list[Case] = [
    case(
        "key-after-refusal",
        "9111 3",
        "optimal",
        "a response is stored although the one before it could not be",
        Step(answer=[("Cache-Control", "no-store")]),
        Step(answer=[HOUR], expect="origin"),
        Step(expect="cached", from_step=2),
    ),
    case(
        "key-after-refusal-vary",
        "9111 3",
        "optimal",
        "and so is a variant",
        Step(answer=[]),
        Step(send=[("Foo", "1")], answer=[HOUR, ("Vary", "Foo")], expect="origin"),
        Step(send=[("Foo", "1")], expect="cached", from_step=2),
        Step(send=[("Foo", "2")], answer=[("Cache-Control", "no-store")], expect="origin"),
        Step(send=[("Foo", "1")], expect="cached", from_step=2),
    ),
    case(
        "key-cookie",
        "9111 2",
        "optimal",
        "a request with a Cookie gets what is stored",
        Step(answer=[HOUR]),
        Step(send=[("Cookie", "a=b")], expect="cached"),
    ),
    case(
        "key-query",
        "9111 2",
        "required",
        "another query is another resource",
        Step(path="?a=1", answer=[HOUR]),
        Step(path="?a=2", answer=[HOUR], expect="origin"),
    ),
    case(
        "key-query-same",
        "9111 2",
        "optimal",
        "the same query is the same resource",
        Step(path="?a=1", answer=[HOUR]),
        Step(path="?a=1", expect="cached"),
    ),
    case(
        "key-path-case",
        "9110 4.2.3",
        "required",
        "paths keep their case",
        Step(path="/a", answer=[HOUR]),
        Step(path="/A", answer=[HOUR], expect="origin"),
    ),
    case(
        "key-host",
        "9111 2",
        "required",
        "another host is another resource",
        Step(send=[("Host", "a.example")], answer=[HOUR]),
        Step(send=[("Host", "b.example")], answer=[HOUR], expect="origin"),
    ),
    case(
        "key-host-case",
        "9110 4.2.3",
        "optimal",
        "hosts ignore case",
        Step(send=[("Host", "a.example")], answer=[HOUR]),
        Step(send=[("Host", "A.EXAMPLE")], expect="cached"),
    ),
    case(
        "key-escaped",
        "9110 4.2.3",
        "required",
        "%2F is not /",
        Step(path="/a%2Fb", answer=[HOUR]),
        Step(path="/a/b", answer=[HOUR], expect="origin"),
    ),
]


CASES = [*_FIELDS, *_KEYS]
