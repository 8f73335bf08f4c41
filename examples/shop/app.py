"""The shop's pages.

Public pages say nothing about how long they stay fresh: nobody thought of it. ``/news`` does; ``/deals`` is
another page every second. What changes with time says which time it is of, and how long it lasts
(``data-moment``, ``data-lasts``, in unix seconds and seconds).
Every page greets a visitor who is signed in (the cookie ``shop_user``), so the same URL differs between
people.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .catalogue import CATEGORIES, Catalogue, Item, Product, build

COOKIE = "shop_user"
NEWS = "<p>Our winter catalogue is out. The spring one will be in the shops in March.</p>"
NEWS_SECONDS, DEAL_SECONDS = 20, 1
"""How long one edition of the news, and one price of the deal of the day, lasts."""
NOT_SHARED = ("/account", "/cart", "/welcome", "/deals")
"""Paths whose answers are for one browser, or for one second."""


def page(request: Request, title: str, body: str, **fields: str) -> HTMLResponse:
    """A page of the shop; ``data-*`` attributes of its body say what it is about and for whom."""
    user = request.cookies.get(COOKIE)
    marks = {**fields, **({"user": user} if user else {})}
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in marks.items())
    greeting = f"Hello, {escape(user)}!" if user else "Welcome!"
    links = " ".join(f'<a href="/category/{name}">{name}</a>' for name in CATEGORIES)
    return HTMLResponse(
        f"<!doctype html><html lang=en><title>{escape(title)}</title><body{attributes}>"
        f"<header>{greeting} <nav>{links}</nav></header><h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def money(cents: float) -> str:
    return f"{cents / 100:.2f} €"


async def listing(request: Request, items: Sequence[Item]) -> str:
    """Products with what they cost today."""
    prices = await partner_prices(request, items)
    rows = (
        f'<li><a href="/product/{item.id}">{escape(item.name)}</a> {money(price)} ({item.rank:.1f})</li>'
        for item, price in zip(items, prices, strict=True)
    )
    return f"<ol>{''.join(rows)}</ol>"


async def home(request: Request) -> Response:
    items = await run_in_threadpool(request.app.state.catalogue.bestsellers)
    return page(request, "Bestsellers", await listing(request, items), page="home")


async def category(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in CATEGORIES:
        raise HTTPException(404)
    items = await run_in_threadpool(request.app.state.catalogue.category, name)
    return page(request, name, await listing(request, items), category=name)


async def search(request: Request) -> Response:
    words = request.query_params.get("q", "").strip().lower()[:40]
    items = await run_in_threadpool(request.app.state.catalogue.search, words) if words else []
    return page(request, f"Search: {words}", await listing(request, items), search=words)


async def product(request: Request) -> Response:
    found = await run_in_threadpool(request.app.state.catalogue.product, request.path_params["number"])
    if found is None:
        raise HTTPException(404)
    [price] = await partner_prices(request, [found])
    reviews = "".join(f"<li>{'★' * stars} {escape(text)}</li>" for stars, text in found.reviews)
    body = f"<p>{escape(found.description)}</p><p>Today: {money(price)}</p><ul>{reviews}</ul>"
    return page(request, found.name, body, product=str(found.id))


async def partner_prices(request: Request, items: Sequence[Item | Product]) -> list[int]:
    """What the partner asks for the products; their list prices where there is no partner."""
    partner: httpx.AsyncClient | None = request.app.state.partner
    if partner is None or not items:
        return [item.price for item in items]
    wanted = ",".join(f"{item.id}:{item.price}" for item in items)
    answer = await partner.get("/prices", params={"items": wanted})
    return [int(price) for price in answer.raise_for_status().json()["prices"]]


async def about(request: Request) -> Response:
    return page(request, "About us", "<p>A shop of things for the house, since 1931.</p>", page="about")


async def news(request: Request) -> Response:
    """The one page whose author knew about caching."""
    at = moment(request, NEWS_SECONDS)
    edition = f"<p>Edition {at // NEWS_SECONDS}.</p>"
    response = page(request, "News", NEWS + edition, page="news", moment=str(at), lasts=str(NEWS_SECONDS))
    tag = f'"{hashlib.sha256(bytes(response.body)).hexdigest()[:16]}"'
    headers = {"etag": tag, "cache-control": "public, max-age=30", "vary": "cookie"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return response


async def deals(request: Request) -> Response:
    """A price that falls by the second: whoever kept this page would show a wrong one."""
    at = moment(request, DEAL_SECONDS)
    price = money(20_000 - at % 10_000)
    marks = {"page": "deals", "moment": str(at), "lasts": str(DEAL_SECONDS)}
    return page(request, "Deal of the day", f"<p>{price}, and falling</p>", **marks)


def moment(request: Request, period: int) -> int:
    """The unix time at which what is shown now began to hold, if it changes every ``period`` seconds."""
    now: float = request.app.state.clock()
    return int(now // period) * period


async def account(request: Request) -> Response:
    user = signed_in(request)
    return page(request, "Your account", f"<p>Signed in as {escape(user)}.</p>", page="account")


async def cart(request: Request) -> Response:
    user = signed_in(request)
    number = int(hashlib.sha256(user.encode()).hexdigest(), 16) % 5_000 + 1
    return page(request, "Your cart", f'<p>1 × <a href="/product/{number}">{number}</a></p>', page="cart")


def signed_in(request: Request) -> str:
    user = request.cookies.get(COOKIE)
    if not user:
        raise HTTPException(401)
    return user


async def welcome(request: Request) -> Response:
    """Counts visits by a cookie: an answer for one browser only."""
    response = page(request, "Welcome", "<p>Nice to have you here.</p>", page="welcome")
    response.set_cookie("visit", secrets.token_hex(8), httponly=True, samesite="lax")
    return response


async def sign_in(request: Request) -> Response:
    response = RedirectResponse("/account", status_code=303)
    response.set_cookie(COOKIE, request.path_params["user"], httponly=True, samesite="lax")
    return response


async def calls(request: Request) -> Response:
    """How many requests reached the shop, itself not counted, and how many of them for what all may share."""
    state = request.app.state
    return JSONResponse({"calls": state.calls, "shared": state.shared}, headers={"cache-control": "no-store"})


class CountCalls:
    """Counts the requests that reach the shop."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/calls":
            state = scope["app"].state
            state.calls += 1
            anonymous = all(name != b"cookie" for name, _ in scope["headers"])
            state.shared += anonymous and scope["path"] not in NOT_SHARED
        await self.app(scope, receive, send)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open the catalogue (making it first if need be) and the connection to the partner."""
    async with contextlib.AsyncExitStack() as stack:
        named = os.environ.get("SHOP_DATABASE")
        folder = named or stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-"))
        path = app.state.database or (Path(named) if named else Path(folder) / "shop.sqlite3")
        if not path.exists():
            await run_in_threadpool(build, path)
        app.state.catalogue = stack.enter_context(contextlib.closing(Catalogue(path)))
        url = os.environ.get("SHOP_PARTNER_URL")
        if app.state.partner is None and url:
            app.state.partner = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=10))
        yield


def make_app(
    database: Path | None = None,
    partner: httpx.AsyncClient | None = None,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The shop; ``database`` and ``partner`` are by default those of the environment.

    :param clock: unix seconds.
    """
    routes: list[Any] = [
        Route("/", home),
        Route("/category/{name}", category),
        Route("/search", search),
        Route("/product/{number:int}", product),
        Route("/about", about),
        Route("/news", news),
        Route("/deals", deals),
        Route("/account", account),
        Route("/cart", cart),
        Route("/welcome", welcome),
        Route("/sign-in/{user}", sign_in),
        Route("/calls", calls),
    ]
    made = Starlette(routes=routes, lifespan=lifespan)
    made.state.calls = made.state.shared = 0
    made.state.database, made.state.partner, made.state.clock = database, partner, clock
    made.add_middleware(CountCalls)
    return made


app = make_app()
