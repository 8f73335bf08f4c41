"""Fields by which a request claims another host, scheme or method than the one it is keyed on.

An app that reflects such a field would answer for the claimed host, so an unkeyed claim poisons a shared
cache. Claims that only repeat what the key says are harmless; a few with a bounded set of values are keyed
like Vary; the rest keep the request away from the cache.
"""

from __future__ import annotations

from perfmw.http.fields import split_list, unquote
from perfmw.http.messages import Header, Request
from perfmw.http.policy import Policy

_HOSTS = (
    b"x-forwarded-host",
    b"x-forwarded-server",
    b"x-host",
    b"x-http-host-override",
    b"x-original-host",
)
_SCHEMES = (
    b"x-forwarded-port",
    b"x-forwarded-proto",
    b"x-forwarded-scheme",
    b"x-forwarded-ssl",
    b"x-url-scheme",
)
_BOUNDED = frozenset({b"http", b"https", b"on", b"off", b"80", b"443"})
_CLAIMS = frozenset((*_HOSTS, *_SCHEMES))
_REWRITES = (
    b"x-forwarded-prefix",
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    b"x-original-url",
    b"x-rewrite-url",
)


def unkeyable(request: Request, policy: Policy) -> bool:
    """Whether the request makes a claim that can not be part of its key."""
    if policy.rfc_strict:
        return False
    fields = request.fields
    if any(name in fields for name in _REWRITES):
        return True
    if not policy.trust_forwarded_host and any(_foreign_host(request, fields.get(name)) for name in _HOSTS):
        return True
    if any(value.lower() not in _BOUNDED for _, value in _foreign_schemes(request)):
        return True
    return b"forwarded" in fields and _foreign_forwarded(request, fields[b"forwarded"])


def keyed_claims(request: Request, policy: Policy) -> tuple[bytes, ...]:
    """Names of claims that select the response like Vary does."""
    if policy.rfc_strict:
        return ()
    if _CLAIMS.isdisjoint(request.special):
        return ()
    names = [name for name, _ in _foreign_schemes(request)]
    if policy.trust_forwarded_host:
        names += [name for name in _HOSTS if _foreign_host(request, request.fields.get(name))]
    return tuple(names)


def _foreign_schemes(request: Request) -> list[Header]:
    fields = request.fields
    own = (request.scheme.encode(), request.authority.rpartition(b":")[2])
    return [(name, fields[name]) for name in _SCHEMES if name in fields and fields[name].lower() not in own]


def _foreign_host(request: Request, claim: bytes | None) -> bool:
    return claim is not None and claim.lower() not in _own_names(request)


def _own_names(request: Request) -> tuple[bytes, bytes]:
    authority = request.authority.lower()
    return authority, authority.rpartition(b":")[0] or authority


def _foreign_forwarded(request: Request, value: bytes) -> bool:
    own = (*_own_names(request), request.scheme.encode())
    for element in split_list(value):
        for pair in element.split(b";"):
            name, _, claim = pair.strip().partition(b"=")
            if name.lower() in (b"host", b"proto") and unquote(claim).lower() not in own:
                return True
    return False
