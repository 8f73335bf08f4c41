"""By default nothing personal is shared, whatever the combination of request, response and rule."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from perfmw.http.messages import Request, ResponseHead
from perfmw.http.policy import Policy
from perfmw.http.reuse import decide, precheck
from perfmw.http.storing import complete, storing
from perfmw.settings import CacheRule
from tests.http.build import NOW, SAFE, get

_CLIENT = {
    "cookie": st.sampled_from(["id=1", "id=2"]),
    "authorization": st.sampled_from(["Basic x", "Basic y"]),
    "x_forwarded_host": st.sampled_from(["evil", "example.org"]),
    "x_forwarded_proto": st.sampled_from(["http", "https"]),
    "accept": st.sampled_from(["a", "b"]),
}
clients = st.fixed_dictionaries({}, optional=_CLIENT).map(lambda fields: get(**fields))

_DIRECTIVES = ["max-age=60", "s-maxage=60", "public", "Private", "No-Store", "no-cache", "must-revalidate"]
_FIELDS = st.one_of(
    st.lists(st.sampled_from(_DIRECTIVES), min_size=1).map(
        lambda found: (b"cache-control", ", ".join(found).encode())
    ),
    st.sampled_from(["Cookie", "accept", "Authorization", "*", "X-Forwarded-Host"]).map(
        lambda name: (b"vary", name.encode())
    ),
    st.sampled_from(
        [
            (b"set-cookie", b"id=9"),
            (b"expires", b"0"),
            (b"etag", b'"a"'),
            (b"last-modified", b"Sun, 06 Nov 1994 08:49:37 GMT"),
            (b"cdn-cache-control", b"max-age=60"),
        ]
    ),
)
responses = st.builds(
    ResponseHead, st.sampled_from([200, 200, 200, 301, 404, 500]), st.lists(_FIELDS, max_size=4)
)
rules = st.none() | st.builds(
    CacheRule,
    path=st.just("/**"),
    ttl=st.sampled_from([None, 60.0]),
    shared=st.booleans(),
    vary=st.sampled_from([(), ("cookie",), ("authorization",)]),
)


def shared_between(
    one: Request, other: Request, response: ResponseHead, rule: CacheRule | None, policy: Policy = SAFE
) -> bool:
    """Whether the response to ``one`` is then served to ``other``."""
    if precheck(one, policy, rule) or precheck(other, policy, rule):
        return False
    result = storing(one, response, request_time=NOW, response_time=NOW, policy=policy, rule=rule)
    stored = complete(result.stored, b"x") if result.stored is not None else None
    return stored is not None and decide(other, [stored], NOW, policy, rule).action in (
        "serve",
        "serve_stale",
    )


def said(response: ResponseHead, name: bytes) -> str:
    return response.fields.get(name, b"").decode().lower()


@settings(max_examples=600, deadline=None)
@given(clients, clients, responses, rules)
def test_what_is_shared_was_meant_to_be(
    one: Request, other: Request, response: ResponseHead, rule: CacheRule | None
) -> None:
    if not shared_between(one, other, response, rule):
        return
    control = said(response, b"cache-control")
    assert "private" not in control
    assert "no-store" not in control
    assert "*" not in said(response, b"vary")
    assert b"set-cookie" not in response.fields
    assert response.status < 500
    declared = rule is not None and rule.shared
    for name in ("cookie", "authorization"):
        if one.fields.get(name.encode()) != other.fields.get(name.encode()):
            explicit = any(word in control for word in ("public", "s-maxage", "must-revalidate"))
            assert declared or (name == "authorization" and explicit)
    for name in (b"x-forwarded-host", b"x-forwarded-proto"):
        claims = {request.fields.get(name, own) for request, own in ((one, _own(name)), (other, _own(name)))}
        assert len(claims) == 1


def _own(name: bytes) -> bytes:
    return b"example.org" if name == b"x-forwarded-host" else b"http"


@given(clients, responses, rules)
def test_a_response_that_is_stored_serves_the_same_request_again(
    client: Request, response: ResponseHead, rule: CacheRule | None
) -> None:
    for policy in (SAFE, Policy(rfc_strict=True)):
        if precheck(client, policy, rule):
            continue
        result = storing(client, response, request_time=NOW, response_time=NOW, policy=policy, rule=rule)
        if result.stored is not None and result.stored.fresh_until > NOW:
            assert shared_between(client, client, response, rule, policy)
