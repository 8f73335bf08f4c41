"""Who may look, and who may change something."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest

from perfmw.dashboard import create_app, login_url
from perfmw.dashboard.api import ENDPOINTS
from perfmw.dashboard.api.endpoint import Endpoint
from perfmw.dashboard.auth import token_of
from perfmw.dashboard.origins import client_of, is_loopback_host
from perfmw.dashboard.problems import ProblemError
from perfmw.dashboard.tokens import SESSION_SECONDS, Throttle, Tokens
from tests.dashboard.conftest import mounted, open_client
from tests.dashboard.fake import FakeRuntime

pytestmark = pytest.mark.anyio
MakeClient = Callable[..., httpx.AsyncClient]
PAGE = "/_perfmw/"
START = "/_perfmw/api/v1/optimization/start"
JSON = {"content-type": "application/json"}
TOKEN = "correct horse battery"


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:80", "[::1]:8000", "127.9.9.9"])
async def test_a_direct_request_on_this_machine_may_look(make_client: MakeClient, host: str) -> None:
    async with make_client(FakeRuntime(), host=host) as client:
        assert (await client.get(PAGE)).status_code == 200


@pytest.mark.parametrize("address", ["10.0.0.7", "::ffff:10.0.0.7", "2001:db8::1", "unix", ""])
async def test_another_machine_may_not(make_client: MakeClient, address: str) -> None:
    async with make_client(FakeRuntime(), address=address) as client:
        answer = await client.get(PAGE)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.0.1", "0.0.0.0"]
)
async def test_a_rebound_name_may_not(make_client: MakeClient, host: str) -> None:
    async with make_client(FakeRuntime(), host=host) as client:
        assert (await client.get(PAGE)).status_code == 401


@pytest.mark.parametrize("host", ["", "localhost@evil", "[::1", "a b"])
def test_what_is_no_loopback_name(host: str) -> None:
    assert not is_loopback_host(host)


@pytest.mark.parametrize(
    "name", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via", "CF-Connecting-IP"]
)
async def test_a_forwarded_request_may_not(make_client: MakeClient, name: str) -> None:
    async with make_client(FakeRuntime()) as client:
        assert (await client.get(PAGE, headers={name: "127.0.0.1"})).status_code == 401


async def test_two_host_headers_may_not(make_client: MakeClient) -> None:
    async with make_client(FakeRuntime()) as client:
        hosts = [("host", "localhost"), ("host", "evil.example")]
        assert (await client.get(PAGE, headers=hosts)).status_code == 401


async def test_token_mode_asks_everyone_for_the_token(make_client: MakeClient) -> None:
    runtime = FakeRuntime(dashboard="token", dashboard_token=TOKEN)
    async with make_client(runtime) as client:
        assert (await client.get("/_perfmw/metrics")).status_code == 401
        assert (await client.get("/_perfmw/healthz")).status_code == 401
        assert (await client.get("/_perfmw/static/app.js")).status_code == 401
        right = {"authorization": f"Bearer {TOKEN}"}
        assert (await client.get("/_perfmw/metrics", headers=right)).status_code == 200
        assert (
            await client.get("/_perfmw/metrics", headers={"authorization": "Bearer x"})
        ).status_code == 401
        assert (
            await client.get("/_perfmw/metrics", headers={"authorization": f"Basic {TOKEN}"})
        ).status_code == 401


async def test_a_browser_gets_a_page_to_sign_in_with_its_style(make_client: MakeClient) -> None:
    runtime = FakeRuntime(dashboard="token", dashboard_token=TOKEN)
    async with make_client(runtime, address="10.0.0.7", host="app.example") as client:
        answer = await client.get(PAGE, headers={"accept": "text/html,*/*"})
        assert answer.status_code == 401
        assert 'action="./login" method="post"' in answer.text
        assert (await client.get("/_perfmw/static/signin.css")).status_code == 200


async def test_the_login_url_signs_a_browser_in(make_client: MakeClient) -> None:
    runtime = FakeRuntime(dashboard="token", dashboard_token=TOKEN)
    url = urlsplit(login_url(runtime, "http://app.example/"))
    async with make_client(runtime, address="10.0.0.7", host="app.example") as client:
        answer = await client.get(f"{url.path}?{url.query}")
        assert (answer.status_code, answer.headers["location"]) == (303, "./")
        cookie = answer.headers["set-cookie"]
        assert TOKEN not in cookie
        assert {"HttpOnly", "SameSite=strict", "Path=/_perfmw"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert (await client.get(PAGE)).status_code == 200
        client.cookies.clear()
        assert (await client.get(PAGE)).status_code == 401


async def test_over_https_the_cookie_is_secure(make_client: MakeClient) -> None:
    runtime = FakeRuntime(dashboard_token=TOKEN)
    transport = httpx.ASGITransport(app=mounted(runtime), client=("10.0.0.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://app.example") as client:
        answer = await client.get("/_perfmw/login", params={"token": TOKEN})
        assert "Secure" in answer.headers["set-cookie"]


async def test_without_a_token_in_the_settings_each_runtime_has_its_own() -> None:
    one, two = FakeRuntime(), FakeRuntime()
    assert token_of(one) == token_of(one)
    assert token_of(one) != token_of(two)
    assert len(token_of(one)) >= 32
    assert login_url(one, "http://x").startswith("http://x/_perfmw/login?token=")


async def test_wrong_tokens_are_limited_and_then_even_the_right_one(make_client: MakeClient) -> None:
    runtime = FakeRuntime(dashboard="token", dashboard_token=TOKEN)
    async with make_client(runtime, address="10.0.0.7") as client:
        for _ in range(10):
            assert (await client.get("/_perfmw/login?token=wrong")).status_code == 401
        answer = await client.get("/_perfmw/login", params={"token": TOKEN})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        bearer = await client.get("/_perfmw/metrics", headers={"authorization": f"Bearer {TOKEN}"})
        assert bearer.status_code == 429


def test_the_limit_ends_with_its_window_and_knows_clients_apart() -> None:
    throttle = Throttle(limit=2, window=60, clients=2)
    throttle.failed("a", 0)
    throttle.failed("a", 10)
    assert throttle.blocked_for("a", 20) == pytest.approx(40)
    assert throttle.blocked_for("b", 20) == 0
    assert throttle.blocked_for("a", 61) == 0
    throttle.failed("b", 20)
    throttle.failed("c", 20)
    assert throttle.blocked_for("a", 20) == 0, "the oldest client is forgotten: the table is bounded"


def test_an_ipv6_network_is_one_client() -> None:
    assert client_of({"client": ("2001:db8::1", 1)}) == client_of({"client": ("2001:db8::ffff", 1)})
    assert client_of({"client": ("10.0.0.1", 1)}) != client_of({"client": ("10.0.0.2", 1)})


def test_a_session_ends_and_cannot_be_made_longer() -> None:
    now = [1_000.0]
    tokens = Tokens({"operate": TOKEN}, clock=lambda: now[0])
    session = tokens.new_session(TOKEN)
    expires, key, signature = session.split(".")
    assert tokens.session(session) == "operate"
    assert TOKEN not in session
    forged = (
        f"{int(expires) + 1}.{key}.{signature}",
        f"{expires}.{key}",
        f"{expires}.{'0' * 64}.{signature}",
    )
    for cookie in (*forged, f"{expires}.{key}.{'0' * 64}", "", "é.ü", "é.ü.ö", "..", f".{key}."):
        assert tokens.session(cookie) is None, cookie
    assert Tokens({"operate": "another"}, clock=lambda: now[0]).session(session) is None
    now[0] += SESSION_SECONDS + 1
    assert tokens.session(session) is None


def test_a_token_that_is_not_ascii_is_wrong_not_an_error() -> None:
    tokens = Tokens({"operate": TOKEN})
    assert tokens.role_of("\udcff", "10.0.0.1") is None
    for _ in range(9):
        assert tokens.role_of("x", "10.0.0.1") is None
    with pytest.raises(ProblemError) as caught:
        tokens.role_of("x", "10.0.0.1")
    assert caught.value.status == 429


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://localhost", **JSON}, 202),
        ({"origin": "http://localhost", "sec-fetch-site": "same-origin", **JSON}, 202),
        ({"sec-fetch-site": "same-origin", **JSON}, 202),
        ({**JSON}, 403),
        ({"origin": "null", **JSON}, 403),
        ({"origin": "http://evil.example", **JSON}, 403),
        ({"origin": "http://localhost:8001", **JSON}, 403),
        ({"origin": "http://localhost", "sec-fetch-site": "cross-site", **JSON}, 403),
        ({"sec-fetch-site": "same-site", **JSON}, 403),
        ({"sec-fetch-site": "none", **JSON}, 403),
        ({"origin": "http://localhost"}, 415),
        ({"origin": "http://localhost", "content-type": "text/plain"}, 415),
        ({"origin": "http://localhost", "content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_a_change_needs_our_own_page_and_json(
    client: httpx.AsyncClient, runtime: FakeRuntime, headers: dict[str, str], status: int
) -> None:
    answer = await client.post(START, headers=headers, content=b"{}")
    assert answer.status_code == status
    assert len(runtime.started) == (status == 202)


UNSAFE = [one for one in ENDPOINTS if one.method not in ("GET", "HEAD")]


@pytest.mark.parametrize("endpoint", UNSAFE, ids=lambda one: f"{one.method} {one.path}")
async def test_no_change_is_made_for_a_strangers_page(
    client: httpx.AsyncClient, make_client: MakeClient, endpoint: Endpoint
) -> None:
    path = "/_perfmw/api/v1" + re.sub(r"{[^}]+}", "1", endpoint.path)
    own = {"origin": "http://localhost", **JSON}
    for headers, status in (
        (JSON, 403),
        ({**JSON, "origin": "http://evil.example"}, 403),
        ({**JSON, "origin": "null"}, 403),
        ({**own, "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://localhost", "content-type": "text/plain"}, 415),
        ({**own, "host": "evil.example", "origin": "http://evil.example"}, 401),
    ):
        answer = await client.request(endpoint.method, path, headers=headers, content=b"{}")
        assert (answer.status_code, headers) == (status, headers)
        assert answer.headers["content-type"] == "application/problem+json"
    reader = FakeRuntime(dashboard="token", dashboard_token=TOKEN, dashboard_read_token="to look, no more")
    async with make_client(reader, address="10.0.0.7", host="app.example") as looking:
        bearer = {"authorization": "Bearer to look, no more", **JSON}
        assert (
            await looking.request(endpoint.method, path, headers=bearer, content=b"{}")
        ).status_code == 403


async def test_a_bearer_token_needs_no_origin_but_json(make_client: MakeClient) -> None:
    runtime = FakeRuntime(dashboard_token=TOKEN)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    async with make_client(runtime, address="10.0.0.7", host="app.example") as client:
        assert (await client.post(START, headers=bearer)).status_code == 415
        assert (await client.post(START, headers={**bearer, **JSON})).status_code == 202


async def test_a_cookie_alone_does_not_allow_a_change(make_client: MakeClient) -> None:
    runtime = FakeRuntime(dashboard_token=TOKEN)
    async with make_client(runtime, address="10.0.0.7", host="app.example") as client:
        await client.get("/_perfmw/login", params={"token": TOKEN})
        assert (await client.post(START, headers=JSON)).status_code == 403
        own = {"origin": "http://app.example", **JSON}
        assert (await client.post(START, headers=own)).status_code == 202


@pytest.mark.parametrize("path", ["optimization/start", "optimization/cancel", "ledger/3/rollback"])
async def test_get_changes_nothing(client: httpx.AsyncClient, runtime: FakeRuntime, path: str) -> None:
    answer = await client.get(f"/_perfmw/api/v1/{path}")
    assert answer.status_code in (404, 405)
    assert (runtime.started, runtime.cancelled, runtime.rolled_back) == ([], 0, [])


async def test_a_dashboard_that_is_off_is_not_built() -> None:
    with pytest.raises(ValueError, match="dashboard"):
        create_app(FakeRuntime(dashboard="off"))


async def test_the_hosts_own_sign_in_decides_alone() -> None:
    runtime = FakeRuntime(dashboard="off", dashboard_token=TOKEN)
    app = mounted(runtime, authorize=lambda scope: dict(scope["headers"]).get(b"x-user") == b"ann")
    async with open_client(app, "10.0.0.7", "app.example") as client:
        assert (await client.get(PAGE, headers={"x-user": "ann"})).status_code == 200
        assert (await client.get(PAGE)).status_code == 403
        assert (await client.get(PAGE, headers={"authorization": f"Bearer {TOKEN}"})).status_code == 403
        assert "set-cookie" not in (await client.get("/_perfmw/login", params={"token": TOKEN})).headers
        allowed = {"x-user": "ann", **JSON}
        assert (await client.post(START, headers=allowed)).status_code == 403
        assert (
            await client.post(START, headers={**allowed, "origin": "http://app.example"})
        ).status_code == 202


async def test_a_websocket_is_closed() -> None:
    sent = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await create_app(FakeRuntime())({"type": "websocket", "path": "/", "headers": []}, None, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
