from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, Router, get
from litestar import Request as LitestarRequest
from quart import Quart
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from perfmw.profiles.paths import PathNames, normalise
from perfmw.profiles.routes import Routes, plain_template, route_of, route_template

pytestmark = pytest.mark.anyio

App = Callable[..., Awaitable[None]]


async def asked(app: Any, path: str, method: str = "GET", root_path: str = "") -> tuple[str, dict[str, Any]]:
    """The name a namer of its own gives to one real request, and the scope it was given."""
    seen: dict[str, Any] = {}

    async def outer(scope: MutableMapping[str, Any], receive: App, send: App) -> None:
        seen["scope"] = scope
        await app(scope, receive, send)

    transport = httpx.ASGITransport(outer, root_path=root_path)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:
        response = await client.request(method, path)
    names, scope = Routes(app), seen["scope"]
    first = names.name(scope, method, response.status_code)
    assert names.name(scope, method, response.status_code) == first, "remembered as it was found"
    return first, scope


async def endpoint(request: Request) -> PlainTextResponse:
    return PlainTextResponse("here")


def starlette_app() -> Starlette:
    return Starlette(
        routes=[
            Route("/items/{id:int}", endpoint),
            Route("/other/{name}", endpoint),
            Mount("/shops/{shop}", routes=[Route("/things/{thing}", endpoint)]),
            Mount("/sub", app=Starlette(routes=[Route("/deep/{x}", endpoint)])),
            Mount("/static", StaticFiles(directory=".")),
        ]
    )


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/items/3", "GET /items/{id}"),
        ("HEAD", "/items/3", "HEAD /items/{id}"),
        ("POST", "/items/3", "POST /items/{id}"),
        ("BREW", "/items/3", "_OTHER /items/{id}"),
        ("GET", "/other/3", "GET /other/{name}"),
        ("GET", "/shops/acme/things/7", "GET /shops/{shop}/things/{thing}"),
        ("GET", "/sub/deep/7", "GET /sub/deep/{x}"),
        ("GET", "/sub/nothing/7", "GET /sub/{path}"),
        ("GET", "/static/pyproject.toml", "GET /static/{path}"),
        ("GET", "/wp-admin.php", "GET (unmatched)"),
    ],
)
async def test_starlette(method: str, path: str, name: str) -> None:
    assert (await asked(starlette_app(), path, method))[0] == name


async def test_the_servers_own_prefix_is_no_part_of_the_route() -> None:
    assert (await asked(starlette_app(), "/behind/sub/deep/7", root_path="/behind"))[0] == "GET /sub/deep/{x}"


@pytest.mark.parametrize("path", ["/items/3", "/other/4", "/shops/acme/things/7", "/sub/deep/7", "/static/x"])
async def test_a_starlette_that_names_only_the_endpoint(path: str) -> None:
    new, scope = await asked(starlette_app(), path)
    scope.pop("route")
    assert Routes().name(scope, "GET", 200) == new


def fastapi_app() -> FastAPI:
    app, router, twice, inner = FastAPI(), APIRouter(prefix="/v1"), APIRouter(), FastAPI()

    @router.get("/things/{thing_id}")
    def thing(thing_id: int) -> int:
        return thing_id

    @twice.get("/same/{x}")
    def same(x: str) -> str:
        return x

    @app.get("/files/{path:path}")
    def file(path: str) -> str:
        return path

    @inner.get("/x/{y}")
    def x(y: int) -> int:
        return y

    app.include_router(router, prefix="/api")
    app.include_router(twice, prefix="/one")
    app.include_router(twice, prefix="/two")
    app.mount("/inner", inner)
    return app


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v1/things/3", "GET /api/v1/things/{thing_id}"),
        ("/api/v1/things/three", "GET /api/v1/things/{thing_id}"),
        ("/files/a/b/c", "GET /files/{path}"),
        ("/inner/x/1", "GET /inner/x/{y}"),
        ("/openapi.json", "GET /openapi.json"),
        ("/nothing", "GET (unmatched)"),
    ],
)
async def test_fastapi(path: str, name: str) -> None:
    assert (await asked(fastapi_app(), path))[0] == name


async def test_a_router_that_fastapi_includes_twice_has_two_names() -> None:
    app, names = fastapi_app(), Routes()
    _, one = await asked(app, "/one/same/1")
    _, two = await asked(app, "/two/same/1")
    assert names.name(one, "GET") == "GET /one/same/{x}"
    assert names.name(two, "GET") == "GET /two/same/{x}"


@get("/loans/{loan_id:int}")
async def loan(request: LitestarRequest[Any, Any, Any]) -> str:
    return str(request.path_params["loan_id"])


@pytest.mark.parametrize(
    ("path", "name"), [("/lib/loans/3", "GET /lib/loans/{loan_id}"), ("/nothing", "GET (unmatched)")]
)
async def test_litestar(path: str, name: str) -> None:
    app = Litestar([Router("/lib", route_handlers=[loan])])
    assert (await asked(app, path))[0] == name


@pytest.mark.parametrize(
    ("path", "name"), [("/q/3", "GET /q/{id}"), ("/", "GET /"), ("/nothing", "GET (unmatched)")]
)
async def test_quart(path: str, name: str) -> None:
    app = Quart(__name__)

    @app.route("/q/<int:id>")
    async def query(id: int) -> str:
        return str(id)

    @app.route("/")
    async def home() -> str:
        return "home"

    assert (await asked(app, path))[0] == name
    assert (await asked(app.asgi_app, path))[0] == name  # as Quart's own documentation wraps it


DJANGO = """
import json, sys
import django
from django.conf import settings
settings.configure(ROOT_URLCONF="__main__", ALLOWED_HOSTS=["*"], SECRET_KEY="x", MIDDLEWARE=[])
django.setup()
from django.core.asgi import get_asgi_application
from django.urls import include, path, re_path
def view(request, **kwargs): ...
urlpatterns = [
    path("d/<int:id>/", view),
    path("inner/", include([path("e/<slug:s>", view)])),
    re_path(r"^re/(?P<year>[0-9]{4})/$", view),
]
from perfmw.profiles.routes import Routes
class Wrapper:
    def __init__(self, app): self.app = app
names = Routes(Wrapper(get_asgi_application()))
paths = ["/d/3/", "/inner/e/foo", "/re/2024/", "/nothing"]
print(json.dumps([names.name({"type": "http", "path": p, "root_path": ""}, "GET") for p in paths]))
"""


def test_django() -> None:
    done = subprocess.run([sys.executable, "-c", DJANGO], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        "GET /d/{id}/",
        "GET /inner/e/{s}",
        "GET /re/{year}/",
        "GET (unmatched)",
    ]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "/"),
        ("/about", "/about"),
        ("/items/42", "/items/{id}"),
        ("/v1/users/7/orders", "/v1/users/{id}/orders"),
        ("/u/550e8400-e29b-41d4-a716-446655440000", "/u/{id}"),
        ("/u/550E8400E29B41D4A716446655440000", "/u/{id}"),
        ("/c/deadbeef1", "/c/{id}"),
        ("/c/facade", "/c/facade"),
        ("/img/photo-12.png", "/img/{id}"),
        ("/img/logo.png", "/img/logo.png"),
        ("/t/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "/t/{id}"),
        ("/mail/a@b.example", "/mail/{id}"),
        ("/ü/x", "/{id}/x"),
        ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/{rest}"),
        ("no-slash", "/no-slash"),
    ],
)
def test_paths_lose_their_identifiers(path: str, name: str) -> None:
    assert normalise(path) == name


@given(st.text(max_size=300))
def test_any_path_has_a_short_name(path: str) -> None:
    name = normalise(path)
    assert name.startswith("/")
    assert len(name) <= 9 * 33 + 10


def test_names_of_paths_are_bounded() -> None:
    names = PathNames(max_names=5)
    letters = "abcdefghijklmnopqrstuvwxyz"
    found = {names.name(f"/{letter}") for letter in letters}
    assert len(found) == 6
    assert "other" in found
    assert names.name("/a") == "/a"


def test_apps_without_a_known_router() -> None:
    scope = {"type": "http", "path": "/items/42", "root_path": ""}
    assert route_of(scope, "GET", 200) == "GET /items/{id}"
    assert route_of(scope, "GET", 404) == "GET (unmatched)"
    assert route_of(scope, "get", 200) == "_OTHER /items/{id}"
    assert route_template(scope) is None


@pytest.mark.parametrize(
    "scope", [{}, {"route": object()}, {"endpoint": 1, "router": 2}, {"path_template": 3}]
)
def test_odd_scopes_never_raise(scope: dict[str, Any]) -> None:
    assert route_of(scope, "GET").startswith("GET ")


def test_a_route_that_raises_is_unmatched() -> None:
    class Evil:
        @property
        def path(self) -> str:
            raise RuntimeError("no")

    assert Routes().name({"route": Evil(), "root_path": ""}, "GET") == "GET (unmatched)"


@pytest.mark.parametrize(
    ("template", "plain"),
    [
        ("/a/{id:int}/{rest:path}", "/a/{id}/{rest}"),
        ("d/<int:id>/<name>", "/d/{id}/{name}"),
        (r"^re/(?P<year>[0-9]{4})/(?P<slug>(a|b)+)/$", "/re/{year}/{slug}/"),
        ("", "/"),
    ],
)
def test_templates_are_spelt_alike(template: str, plain: str) -> None:
    assert plain_template(template) == plain
