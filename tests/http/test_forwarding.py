"""Fields that claim another host, scheme or method can not poison a shared entry."""

from __future__ import annotations

import pytest

from perfmw.http.messages import Request
from perfmw.http.policy import Policy
from perfmw.http.reuse import decide, precheck
from tests.http.build import NOW, SAFE, STRICT, get, head, kept

TRUSTING = Policy(trust_forwarded_host=True)


@pytest.mark.parametrize(
    ("request_", "safe", "trusting"),
    [
        (get(x_forwarded_host="evil"), "forwarded", None),
        (get(x_forwarded_host="Example.org"), None, None),
        (get(x_host="evil"), "forwarded", None),
        (get(x_original_host="evil"), "forwarded", None),
        (get(x_forwarded_server="evil"), "forwarded", None),
        (get(forwarded="for=1.2.3.4;host=evil"), "forwarded", "forwarded"),
        (get(forwarded='for=1.2.3.4;host="example.org";proto=http'), None, None),
        (get(forwarded="for=1.2.3.4;proto=https"), "forwarded", "forwarded"),
        (get(x_original_url="/admin"), "forwarded", "forwarded"),
        (get(x_rewrite_url="/admin"), "forwarded", "forwarded"),
        (get(x_http_method_override="POST"), "forwarded", "forwarded"),
        (get(x_forwarded_prefix="/evil"), "forwarded", "forwarded"),
        (get(x_forwarded_proto="nonsense"), "forwarded", "forwarded"),
        (get(x_forwarded_proto="https"), None, None),
        (get(x_forwarded_port="8000", host="example.org:8000"), None, None),
        (get(x_forwarded_port="1"), "forwarded", "forwarded"),
    ],
)
def test_claims_that_can_not_be_keyed_stay_away(
    request_: Request, safe: str | None, trusting: str | None
) -> None:
    assert (precheck(request_, SAFE), precheck(request_, TRUSTING)) == (safe, trusting)
    assert precheck(request_, STRICT) is None


def test_the_scheme_a_proxy_claims_is_keyed() -> None:
    plain, claimed = get(), get(x_forwarded_proto="https")
    of_plain, of_claimed = kept(head("max-age=60"), plain), kept(head("max-age=60"), claimed)
    assert of_claimed.vary == (b"x-forwarded-proto",)
    assert decide(claimed, [of_plain], NOW, SAFE).fwd == "vary-miss"
    assert decide(plain, [of_claimed], NOW, SAFE).fwd == "vary-miss"
    assert decide(claimed, [of_plain, of_claimed], NOW, SAFE).stored is of_claimed
    assert decide(get(x_forwarded_proto="http"), [of_plain], NOW, SAFE).stored is of_plain


def test_a_trusted_forwarded_host_is_keyed() -> None:
    one, other = get(x_forwarded_host="a"), get(x_forwarded_host="b")
    stored = kept(head("max-age=60"), one, TRUSTING)
    assert decide(one, [stored], NOW, TRUSTING).action == "serve"
    assert decide(other, [stored], NOW, TRUSTING).fwd == "vary-miss"
    assert decide(get(), [stored], NOW, TRUSTING).fwd == "vary-miss"
