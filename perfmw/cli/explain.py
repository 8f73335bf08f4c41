"""``perfmw explain``: what the cache makes of one response, and what to change for it to be cached."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from perfmw.cli.api import Api, asking_if_named
from perfmw.cli.config import load_settings
from perfmw.cli.output import FAILURE_FOUND, Failure, Refusal, print_json

if TYPE_CHECKING:
    from perfmw.cli.wire import Origin, WireResponse
    from perfmw.http.explain import Explanation
    from perfmw.http.messages import Header, Request
    from perfmw.settings import Settings


@click.command()
@click.argument("url")
@click.option("-X", "--method", default="GET", show_default=True, help="The request's method.")
@click.option("-H", "--header", "headers", multiple=True, help="A field to send, as 'Name: value'.")
@click.option("--rfc", is_flag=True, help="Explain what rfc_strict would do.")
@asking_if_named
def explain(
    url: str,
    method: str,
    headers: tuple[str, ...],
    rfc: bool,
    server: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Ask for URL once and say whether the response would be cached, why, and for how long.

    The settings and cache rules of the working directory apply, or with --url those of the perfmw that runs
    there, which asks its own app; then URL may be a path. Exit code 1 if it would not be cached.
    """
    fields = [_field(header) for header in headers]
    if server is None:
        found = _locally(url, method.upper(), fields, rfc)
    elif rfc:
        raise Refusal("--rfc is for the settings of this directory; the server at --url has its own")
    else:
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
        with Api(server, token) as api:
            found = api.post("explain", {"url": url, "method": method.upper(), "headers": named})
    if as_json:
        print_json(found)
    else:
        click.echo(_as_text(found))
    sys.exit(0 if found["cacheable"] else FAILURE_FOUND)


def _locally(url: str, method: str, fields: list[Header], rfc: bool) -> dict[str, Any]:
    from perfmw.cli.wire import WireError, parse_origin

    settings = load_settings()
    if rfc:
        settings = settings.replace(rfc_strict=True)
    base, target = _split(url)
    try:
        origin = parse_origin(base)
    except ValueError as error:
        raise Refusal(str(error)) from None
    try:
        response = asyncio.run(_fetch(origin, method, target, fields))
    except WireError as error:
        raise Failure(str(error)) from None
    found = _explained(settings, _request(origin, method, target, fields), response)
    said = b", ".join(response.all(b"cache-status")).decode("latin-1")
    return {"status": response.status, **asdict(found), "cache_status": said}


def _split(url: str) -> tuple[str, str]:
    """The origin of a URL and its target, as it was typed."""
    scheme, mark, rest = url.partition("://")
    end = min((place for place in map(rest.find, "/?#") if place >= 0), default=len(rest))
    target = rest[end:].partition("#")[0]
    return scheme + mark + rest[:end], target if target.startswith("/") else f"/{target}"


def _field(header: str) -> Header:
    name, colon, value = header.partition(":")
    if not colon or not name.strip():
        raise Refusal(f"--header {header!r} is not of the form 'Name: value'")
    return name.strip().lower().encode("latin-1", "replace"), value.strip().encode("latin-1", "replace")


async def _fetch(origin: Origin, method: str, target: str, fields: list[Header]) -> WireResponse:
    from perfmw.cli.wire import WireClient

    async with WireClient(origin) as client:
        return await client.request(method, target, fields)


def _request(origin: Origin, method: str, target: str, fields: list[Header]) -> Request:
    from perfmw.http.messages import Request

    path, _, query = target.encode("latin-1", "replace").partition(b"?")
    host = origin.authority.encode()
    scheme = "https" if origin.tls else "http"
    return Request(method, scheme, host, path, query, [(b"host", host), *fields])


def _explained(settings: Settings, request: Request, response: WireResponse) -> Explanation:
    from perfmw.http.explain import explain as explain_exchange
    from perfmw.http.messages import ResponseHead
    from perfmw.http.policy import Policy
    from perfmw.http.rules import RuleBook

    rules = RuleBook(settings.cache_rules)
    rule = rules.match(request.method, request.path)
    policy = Policy.from_settings(settings, rules)
    head = ResponseHead(response.status, list(response.headers))
    return explain_exchange(request, head, now=time.time(), policy=policy, rule=rule)


def _as_text(found: Mapping[str, Any]) -> str:
    lifetime, age, stored = found["lifetime"], found["age"], found.get("stored")
    rows = [
        ("status", str(found["status"])),
        ("cacheable", "yes" if found["cacheable"] else "no"),
        ("because", f"{found['reason']}: {found['meaning']}"),
        ("decided by", found["decided_by"]),
        ("change", found["change"]),
        ("lifetime", "" if lifetime is None else f"{lifetime:g} s"),
        ("age", "" if age is None else f"{age:g} s"),
        ("key", found["key"]),
        ("vary", ", ".join(f"{name}: {value}" for name, value in found["vary"].items())),
        ("rule", found["rule"]),
        ("cache-status", found.get("cache_status", "")),
        ("stored now", "" if stored is None else str(len(stored))),
    ]
    return "\n".join(f"{label:<12}  {value}" for label, value in rows if value)
