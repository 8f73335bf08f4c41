"""Two roles, tokens of which only a hash is known, prefixes and hosts that a proxy tells."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.types import Scope

from perfmw.dashboard import create_app, hash_token, login_url
from perfmw.dashboard.__main__ import main
from perfmw.dashboard.origins import is_known_host
from perfmw.dashboard.tokens import Tokens
from perfmw.settings import Settings, SettingsError
from tests.dashboard.conftest import mounted, open_client
from tests.dashboard.fake import FakeRuntime, busy

pytestmark = pytest.mark.anyio
MakeClient = Callable[..., httpx.AsyncClient]
START = "/_perfmw/api/v1/optimization/start"
JSON = {"content-type": "application/json"}
OPERATE, READ = "correct horse battery", "looking glass only"
TOKENS = {"dashboard": "token", "dashboard_token": OPERATE, "dashboard_read_token": READ}
AWAY = {"address": "10.0.0.7", "host": "app.example"}
OWN = {"origin": "http://app.example", **JSON}


async def signed_in(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post(
        "/_perfmw/login", data={"token": token}, headers={"origin": str(client.base_url)}
    )


@pytest.mark.parametrize("way", ["bearer", "cookie"])
async def test_who_may_read_may_change_nothing(make_client: MakeClient, way: str) -> None:
    runtime = busy()
    runtime.settings = FakeRuntime(**TOKENS).settings
    async with make_client(runtime, **AWAY) as client:
        if way == "cookie":
            assert (await signed_in(client, READ)).status_code == 303
        headers = {"authorization": f"Bearer {READ}"} if way == "bearer" else {}
        for path in ("", "caching", "metrics", "api/v1/overview", "api/v1/openapi.json"):
            assert (await client.get(f"/_perfmw/{path}", headers=headers)).status_code == 200, path
        answer = await client.get("/_perfmw/", headers=headers)
        assert '<body data-role="read">' in answer.text
        paths = (await client.get("/_perfmw/api/v1/openapi.json", headers=headers)).json()["paths"]
        posts = [path for path, operations in paths.items() if "post" in operations]
        assert len(posts) > 8
        for path in posts:
            url = f"/_perfmw/api/v1{path.replace('{id}', 'x')}"
            refused = await client.post(url, headers={**OWN, **headers}, content=b"{}")
            assert (refused.status_code, refused.json()["title"]) == (403, "Refused"), path
        assert (runtime.started, runtime.cancelled, runtime.rolled_back) == ([], 0, [])
        for method in ("PUT", "PATCH", "DELETE", "POST"):
            assert (await client.request(method, START, headers={**OWN, **headers})).status_code == 403
        revealed = await client.get("/_perfmw/api/v1/cache/keys?reveal=true", headers=headers)
        assert revealed.status_code == 403


async def test_who_may_operate_may_change_something(make_client: MakeClient) -> None:
    runtime = FakeRuntime(**TOKENS)
    async with make_client(runtime, **AWAY) as client:
        await signed_in(client, OPERATE)
        assert '<body data-role="operate">' in (await client.get("/_perfmw/")).text
        assert (await client.post(START, headers=OWN, content=b"{}")).status_code == 202


async def test_a_session_of_one_role_cannot_be_turned_into_another() -> None:
    tokens = Tokens({"operate": OPERATE, "read": READ})
    cookie = tokens.new_session(READ)
    assert tokens.session(cookie) == "read"
    expires, key, signature = cookie.split(".")
    _, other_key, other_signature = tokens.new_session(OPERATE).split(".")
    assert tokens.session(f"{expires}.{key}.{other_signature}") is None
    assert tokens.session(f"{expires}.{other_key}.{signature}") is None
    with pytest.raises(KeyError):
        tokens.new_session("neither of them")


async def test_the_settings_may_hold_hashes(make_client: MakeClient) -> None:
    hashed = {name: hash_token(value) if name != "dashboard" else value for name, value in TOKENS.items()}
    runtime = FakeRuntime(**hashed)
    assert login_url(runtime, "http://app.example") == "http://app.example/_perfmw/login"
    async with make_client(runtime, **AWAY) as client:
        for given, status in ((OPERATE, 200), (READ, 200), (hash_token(OPERATE), 401), ("", 401)):
            bearer = {"authorization": f"Bearer {given}"}
            assert (await client.get("/_perfmw/metrics", headers=bearer)).status_code == status, given
        assert (await signed_in(client, hash_token(OPERATE))).status_code == 401
        assert (await signed_in(client, OPERATE)).status_code == 303
        assert (await client.post(START, headers=OWN, content=b"{}")).status_code == 202


async def test_a_hash_and_its_token_share_their_sessions() -> None:
    """So that workers agree, whichever of them the settings of each hold."""
    cookie = Tokens({"operate": hash_token(OPERATE)}).new_session(OPERATE)
    assert Tokens({"operate": OPERATE}).session(cookie) == "operate"


@pytest.mark.parametrize(
    "bad",
    [
        {"dashboard_token": "short"},
        {"dashboard_token": "hash:1234567890"},
        {"dashboard_read_token": "hash:" + "g" * 64},
        {"dashboard_read_token": "spåce token"},
        {"dashboard_token": "the same token", "dashboard_read_token": "the same token"},
        {"dashboard_hosts": ["https://app.example"]},
        {"dashboard_hosts": ["app.example:80"]},
        {"dashboard_trust_proxy": "perhaps"},
    ],
)
async def test_settings_that_make_no_sense_are_refused_without_telling_secrets(bad: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(env={}, cwd="/", **bad)
    assert not any(isinstance(v, str) and len(v) > 9 and v in str(caught.value) for v in bad.values())


async def test_both_tokens_are_secrets() -> None:
    settings = FakeRuntime(**TOKENS).settings
    assert OPERATE not in repr(settings) + str(settings.to_dict())
    assert READ not in repr(settings) + str(settings.to_dict())


async def test_the_form_signs_in_and_needs_our_own_page(make_client: MakeClient) -> None:
    async with make_client(FakeRuntime(**TOKENS), **AWAY) as client:
        page = await client.get("/_perfmw/profiles", headers={"accept": "text/html"})
        assert (page.status_code, 'action="./login"' in page.text) == (401, True)
        assert page.headers["referrer-policy"] == "same-origin"
        for origin in ("http://evil.example", "null", "https://app.example.evil.example"):
            refused = await client.post("/_perfmw/login", data={"token": OPERATE}, headers={"origin": origin})
            assert (refused.status_code, "set-cookie" in refused.headers) == (403, False), origin
        assert (await client.post("/_perfmw/login", data={"token": OPERATE})).status_code == 403
        assert (await signed_in(client, "x" * 5_000)).status_code == 422
        assert (await client.put("/_perfmw/login", headers=OWN)).status_code == 405
        assert (await signed_in(client, OPERATE)).headers["location"] == "./"


async def test_signing_out_ends_a_session_in_the_browser(make_client: MakeClient) -> None:
    async with make_client(FakeRuntime(**TOKENS), **AWAY) as client:
        await signed_in(client, READ)
        assert (await client.get("/_perfmw/logout")).status_code == 404
        assert (await client.post("/_perfmw/logout", headers=JSON)).status_code == 403
        assert (await client.post("/_perfmw/logout", headers=OWN)).status_code == 204
        assert (await client.get("/_perfmw/")).status_code == 401


async def test_wrong_tokens_in_the_form_are_limited_too(make_client: MakeClient) -> None:
    async with make_client(FakeRuntime(**TOKENS), **AWAY) as client:
        for _ in range(10):
            assert (await signed_in(client, "a wrong one")).status_code == 401
        answer = await signed_in(client, OPERATE)
        assert (answer.status_code, "set-cookie" in answer.headers) == (429, False)


@pytest.mark.parametrize("prefix", ["/tools", "/a/b-c.d", "/tools/"])
async def test_a_prefix_of_a_trusted_proxy_is_heeded(make_client: MakeClient, prefix: str) -> None:
    forwarded = {
        "x-forwarded-prefix": prefix,
        "x-forwarded-host": "ops.example",
        "x-forwarded-proto": "https",
    }
    async with make_client(FakeRuntime(**TOKENS, dashboard_trust_proxy=True), **AWAY) as client:
        answer = await client.get("/_perfmw/login", params={"token": OPERATE}, headers=forwarded)
        cookie = answer.headers["set-cookie"]
        assert f"Path={prefix.rstrip('/')}/_perfmw;" in cookie
        assert "Secure" in cookie
        session = {"cookie": cookie.partition(";")[0], **forwarded}
        page = await client.get("/_perfmw/caching", headers=session)
        assert (page.status_code, 'href="./static/app.css"' in page.text) == (200, True)
        api = (await client.get("/_perfmw/api/v1/openapi.json", headers=session)).json()
        assert api["servers"] == [{"url": f"{prefix.rstrip('/')}/_perfmw/api/v1"}]
        change = {**session, **JSON, "origin": "https://ops.example"}
        assert (await client.post(START, headers=change, content=b"{}")).status_code == 202
        inner = {**change, "origin": "http://app.example"}
        assert (await client.post(START, headers=inner, content=b"{}")).status_code == 403


async def test_a_prefix_of_anybody_is_not(make_client: MakeClient) -> None:
    forwarded = {"x-forwarded-prefix": "/evil", "x-forwarded-host": "evil.example"}
    async with make_client(FakeRuntime(**TOKENS), **AWAY) as client:
        answer = await client.get("/_perfmw/login", params={"token": OPERATE}, headers=forwarded)
        assert "Path=/_perfmw;" in answer.headers["set-cookie"]
        change = {**forwarded, **JSON, "origin": "http://evil.example"}
        assert (await client.post(START, headers=change, content=b"{}")).status_code == 403


@pytest.mark.parametrize(
    "prefix", ["//evil.example", "evil", "/a;Path=/", "/../x", "/a b", '/"><script>', "/a, /b"]
)
async def test_a_prefix_that_is_no_path_is_left_out(make_client: MakeClient, prefix: str) -> None:
    async with make_client(FakeRuntime(**TOKENS, dashboard_trust_proxy=True), **AWAY) as client:
        headers = {"x-forwarded-prefix": prefix}
        answer = await client.get("/_perfmw/login", params={"token": OPERATE}, headers=headers)
        assert "Path=/_perfmw;" in answer.headers["set-cookie"]


async def test_clients_behind_a_trusted_proxy_are_told_apart(make_client: MakeClient) -> None:
    async with make_client(FakeRuntime(**TOKENS, dashboard_trust_proxy=True), **AWAY) as client:
        for number in range(10):
            spoofed = {"x-forwarded-for": f"9.9.9.{number}, 192.0.2.1"}
            assert (await client.get("/_perfmw/login?token=wrong", headers=spoofed)).status_code == 401
        right = {"token": OPERATE}
        blocked = {"x-forwarded-for": "1.2.3.4, 192.0.2.1"}
        assert (await client.get("/_perfmw/login", params=right, headers=blocked)).status_code == 429
        other = {"x-forwarded-for": "192.0.2.2"}
        assert (await client.get("/_perfmw/login", params=right, headers=other)).status_code == 303


async def test_a_proxy_that_is_trusted_does_not_make_a_client_loopback(make_client: MakeClient) -> None:
    async with make_client(FakeRuntime(dashboard_trust_proxy=True)) as client:
        forwarded = {"x-forwarded-for": "127.0.0.1", "x-forwarded-host": "localhost"}
        assert (await client.get("/_perfmw/", headers=forwarded)).status_code == 401


async def test_only_known_hosts_are_answered_where_some_are_named(make_client: MakeClient) -> None:
    runtime = FakeRuntime(**TOKENS, dashboard_hosts=["app.example", "*.ops.example"])
    bearer = {"authorization": f"Bearer {OPERATE}"}
    for host, status in (
        ("app.example", 200),
        ("APP.example:8000", 200),
        ("a.ops.example", 200),
        ("ops.example", 403),
        ("evil-ops.example", 403),
        ("app.example.evil.example", 403),
        ("evil.example", 403),
    ):
        async with make_client(runtime, address="10.0.0.7", host="app.example") as client:
            answer = await client.get("/_perfmw/", headers={**bearer, "host": host})
            assert answer.status_code == status, host


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ([], False),
        ([("host", "a.example"), ("host", "b.example")], False),
        ([("host", "a.example")], True),
        ([("host", "[::1")], False),
        ([("host", "a.example"), ("x-forwarded-host", "b.example, c.example")], False),
    ],
)
def test_which_host_was_asked_for_must_be_clear(fields: list[tuple[str, str]], known: bool) -> None:
    raw = [(name.encode(), value.encode()) for name, value in fields]
    assert is_known_host(Headers(raw=raw), True, ()) is known


async def test_a_change_with_two_hosts_is_refused(make_client: MakeClient) -> None:
    runtime = FakeRuntime(**TOKENS)
    async with make_client(runtime, **AWAY) as client:
        fields = [("host", "app.example"), ("host", "evil.example"), ("authorization", f"Bearer {OPERATE}")]
        answer = await client.post(START, headers=[*fields, *JSON.items()], content=b"{}")
        assert (answer.status_code, runtime.started) == (403, [])


async def test_the_hosts_own_sign_in_may_give_roles_and_may_await() -> None:
    async def authorize(scope: Scope) -> str | None:
        users = {b"ann": "operate", b"bob": "read", b"eve": "owner"}
        return users.get(dict(scope["headers"]).get(b"x-user", b""))

    runtime = FakeRuntime(dashboard="off")
    async with open_client(mounted(runtime, authorize=authorize), "10.0.0.7", "app.example") as client:
        for user, look, change in (("ann", 200, 202), ("bob", 200, 403), ("eve", 403, 403), ("", 403, 403)):
            headers = {"x-user": user, **OWN}
            assert (await client.get("/_perfmw/", headers=headers)).status_code == look, user
            assert (await client.post(START, headers=headers, content=b"{}")).status_code == change, user
        assert len(runtime.started) == 1


async def test_a_sign_in_that_fails_lets_nobody_in() -> None:
    def authorize(scope: Scope) -> bool:
        raise LookupError("the session store is down")

    async with open_client(mounted(FakeRuntime(), authorize=authorize)) as client:
        answer = await client.get("/_perfmw/")
        assert answer.status_code == 500
        assert "session store" not in answer.text


async def test_under_another_root_and_deeper_mounts(runtime: FakeRuntime) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    inner = Starlette(routes=[Mount("/inner/ops", create_app(runtime))])
    app = Starlette(routes=[Mount("/outer", inner)])
    async with open_client(app) as client:
        page = await client.get("/outer/inner/ops/caching")
        assert (page.status_code, 'href="./static/app.css"' in page.text) == (200, True)
        answer = await client.get("/outer/inner/ops", follow_redirects=True)
        assert (answer.status_code, answer.url.path) == (200, "/outer/inner/ops/")
        api = (await client.get("/outer/inner/ops/api/v1/openapi.json")).json()
        assert api["servers"] == [{"url": "/outer/inner/ops/api/v1"}]


async def test_no_answer_may_be_framed(make_client: MakeClient) -> None:
    async with make_client(busy()) as client:
        for path in ("", "nowhere", "api/v1/overview", "static/app.css", "login", "report"):
            headers = (await client.get(f"/_perfmw/{path}")).headers
            assert "frame-ancestors 'none'" in headers["content-security-policy"], path
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-frame-options"] == "DENY"


def test_a_token_is_made_and_hashed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([]) == 0
    made = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert made["dashboard_token"] == hash_token(made["token"])
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{OPERATE}\n"))
    assert main(["-"]) == 0
    told = capsys.readouterr().out
    assert hash_token(OPERATE) in told
    assert OPERATE not in told
    assert main(["--help"]) == 2
