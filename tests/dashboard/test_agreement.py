"""What a chart draws, what the API tells and what Prometheus scrapes are the same numbers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.dashboard import figures

pytestmark = pytest.mark.anyio
BASE = "/_perfmw"
HEIGHT = 200.0


async def item(request: Request) -> Response:
    return PlainTextResponse("x" * 100)


async def fails(request: Request) -> Response:
    return PlainTextResponse("no", 503)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings.load(
        env={}, cwd="/", dashboard="loopback", plugins=(), cache_rules=[CacheRule(path="/items/*", ttl=60)]
    )
    app = PerfMiddleware(Starlette(routes=[Route("/items/{id}", item), Route("/fails", fails)]), settings)
    await app.runtime.start()
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for number in range(40):
            await client.get(f"/items/{number % 4}")
            await client.get("/fails") if number % 10 == 0 else None
        app.runtime.rounds.tick(app.runtime.snapshot().taken_at)
        await asyncio.sleep(0.05)  # what the round began is done
        yield client
    await app.runtime.stop()


async def api(client: httpx.AsyncClient, path: str) -> Any:
    return (await client.get(f"{BASE}/api/v1/{path}")).json()


async def scraped(client: httpx.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = (await client.get(f"{BASE}/metrics")).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(metrics: dict[Any, float], name: str, **labels: str) -> float:
    found = [
        value for (of, has), value in metrics.items() if of == name and labels.items() <= dict(has).items()
    ]
    assert found, (name, labels)
    return sum(found)


def drawn(page: str, section: str, label: str) -> dict[str, Any]:
    """The values that a chart's lines stand for, read off the picture as exactly as it has decimals."""
    [panel] = re.findall(rf'<section class="panel" id="{section}".*?</section>', page, re.S)
    [figure] = [one for one in panel.split("<figure")[1:] if f'aria-label="{label}:' in one]
    [written] = re.findall(r'class="ys"[^>]*><li>([^<]+)', figure)
    top = next(value for value in TOPS if written in {show(value) for show in SHOWN})
    names = re.findall(r"</svg>([^<]+)</li>", figure.partition('class="legend"')[2])
    paths = re.findall(r'<path class="series l\d+" d="([^"]*)"/>', figure.partition('<ul class="xs"')[0])
    values = {
        name: [top * (1 - float(y) / HEIGHT) for y in re.findall(r"[ML][\d.]+,([\d.]+)", path)]
        for name, path in zip(names, paths, strict=False)
    }
    return {name: pytest.approx(line, abs=1.001 * top * 0.05 / HEIGHT) for name, line in values.items()}


TOPS = [step * 10.0**power for power in range(-7, 5) for step in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)]
SHOWN = (figures.duration, figures.rate, figures.percent)


async def test_charts_draw_what_the_api_tells(client: httpx.AsyncClient) -> None:
    overview, caching = [(await client.get(f"{BASE}/{tab}?window=60")).text for tab in ("", "caching")]
    points = (await api(client, "course?window=60"))["items"]
    assert points
    shares = drawn(caching, "served", "Hit rate")
    assert [one["hits"] / one["count"] for one in points if one["count"]] == shares["hit rate"]
    latency = drawn(overview, "course", "Response time percentiles")
    for name in ("p50", "p95", "p99"):
        assert [one[name] for one in points if one[name] is not None] == latency[name], name
    apart = drawn(overview, "course", "p95 of hits and of misses")
    assert [one["hits_p95"] for one in points if one["hits_p95"] is not None] == apart["p95 of hits"]


async def test_the_api_tells_what_prometheus_scrapes(client: httpx.AsyncClient) -> None:
    metrics, routes = await scraped(client), (await api(client, "routes"))["items"]
    for row in routes:
        assert total(metrics, "perfmw_requests_total", route=row["name"]) == row["count"]
        if row["errors"]:
            assert total(metrics, "perfmw_request_errors_total", route=row["name"]) == row["errors"]
    items = next(row for row in routes if row["name"] == "GET /items/{id}")
    assert (items["count"], items["hit_rate"]) == (40, 0.9)
    assert total(metrics, "perfmw_requests_total", route=items["name"], outcome="hit") == 36
    course = await api(client, "course?window=60")
    assert course["served"]["requests"] == sum(row["count"] for row in routes) == 44
    assert sum(one["count"] for one in course["items"]) == 44
    assert sum(one["errors"] for one in course["items"]) == total(metrics, "perfmw_request_errors_total") == 4
    [layer] = (await api(client, "cache"))["layers"]
    assert total(metrics, "perfmw_cache_layer_hits_total", layer="memory") == layer["hits"]
    for pool in (await api(client, "pools"))["items"]:
        if pool["utilization"] is not None:
            told = total(metrics, "perfmw_pool_utilization_ratio", pool=pool["name"])
            assert told == pytest.approx(pool["utilization"], rel=1e-6)


async def test_pages_write_what_the_api_tells(client: httpx.AsyncClient) -> None:
    page = (await client.get(f"{BASE}/?window=60")).text
    for row in (await api(client, "routes"))["items"]:
        [line] = re.findall(rf'<tr data-id="{row["id"]}">.*?</tr>', page, re.S)
        values = [float(value) for value in re.findall(r'data-v="([^"]+)"', line)]
        wanted = [row[name] for name in ("p50", "p95", "hit_rate", "errors", "total")]
        assert values[1:6] == pytest.approx([-1 if one is None else one for one in wanted])
        assert figures.duration(row["p95"]) in line
    assert f"<strong>{figures.percent(36 / 44)}</strong> of 44 requests" in page
    card = page.partition('data-card="cache_hit_rate"')[2].partition("</article>")[0]
    overview = (await api(client, "overview"))["overview"]["cache_hit_rate"]
    [written] = re.findall(r"data-value>([\d.]+)<", card)
    assert float(written) == pytest.approx(overview["value"], abs=0.05) == pytest.approx(100 * 36 / 44)
    assert f"{overview['samples']} samples" in card
