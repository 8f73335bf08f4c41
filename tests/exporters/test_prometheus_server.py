"""A real Prometheus scrapes a real site, and every chart of the Grafana dashboard finds its figures there."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, Runtime, Settings
from perfmw.cli.group import cli
from perfmw.exporters.grafana import Durations, panels

PROMETHEUS = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="no Prometheus server is installed")

ALL: Final[tuple[Durations, ...]] = ("quantiles", "histograms", "native")
JOB = """
  - job_name: {name}
    metrics_path: /_perfmw/metrics
    static_configs: [{{targets: ["{target}"]}}]
"""
CONFIG = "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:"
OPTIONS = (
    "--enable-feature=exemplar-storage,native-histograms",
    "--scrape.discovery-reload-interval=100ms",
)


@contextmanager
def running(command: list[str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **more) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=20)


def waited_for(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        found = re.search(pattern, line)
        if found:
            return found[1]
    raise AssertionError("".join(seen))


def get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        return bytes(error.read())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


class Server:
    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, query: str) -> list[Any]:
        answer = json.loads(get(f"{self.address}/api/v1/query?query={urllib.parse.quote(query)}"))
        assert answer["status"] == "success", (query, answer)
        return list(answer["data"]["result"])

    def eventually(self, query: str) -> list[Any]:
        deadline = time.monotonic() + 30.0
        while not (found := self.ask(query)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found


async def item(request: Request) -> PlainTextResponse:
    return PlainTextResponse("item", 503 if request.path_params["id"] == "13" else 200)


def app(durations: Durations, folder: Path) -> PerfMiddleware:
    settings = Settings(
        cache_rules=[CacheRule(path="/items/1", ttl=600)],
        trace_ratio=1.0,
        dashboard="loopback",
        state_dir=str(folder / durations),
        prometheus_histograms=durations != "quantiles",
        prometheus_native=durations == "native",
        plugins=[],
    )
    made = PerfMiddleware(Starlette(routes=[Route("/items/{id}", item)]), settings=settings)
    made.runtime.profiles.recorder("SELECT ?", "query").done(0.01)
    return made


@contextmanager
def serving(app: PerfMiddleware, listening: socket.socket) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


@contextmanager
def scraped(folder: Path) -> Iterator[tuple[dict[Durations, str], Server]]:
    """A site for each way to tell durations, and a Prometheus that scrapes them all."""
    with ExitStack() as stack:
        doors = {one: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for one in ALL}
        there = {one: f"127.0.0.1:{door.getsockname()[1]}" for one, door in doors.items()}
        server = stack.enter_context(scraping(folder, there))  # first: it takes 5 s to look at its targets
        for one, door in doors.items():
            stack.enter_context(serving(app(one, folder), door))
        yield {one: f"http://{address}" for one, address in there.items()}, server


@contextmanager
def scraping(folder: Path, there: dict[Durations, str]) -> Iterator[Server]:
    jobs = [JOB.format(name=name, target=target) for name, target in there.items()]
    (folder / "prometheus.yml").write_text(CONFIG + "".join(jobs))
    port = free_port()
    options = [f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={folder / 'data'}"]
    assert PROMETHEUS is not None
    with running([PROMETHEUS, f"--config.file={folder / 'prometheus.yml'}", *options, *OPTIONS]) as server:
        waited_for(server, r"(ready to receive web requests)")
        yield Server(f"http://127.0.0.1:{port}")


@needs_prometheus
def test_every_chart_finds_its_figures(tmp_path: Path) -> None:
    with scraped(tmp_path) as (there, server):
        for turn in range(1, 5):
            for site in there.values():
                for number in (1, 1, 1, 2, 13):
                    get(f"{site}/items/{number}")
            for durations in ALL:
                counted = f'sum(perfmw_requests_total{{job="{durations}", route="GET /items/{{id}}"}})'
                assert server.eventually(f"{counted} == {5 * turn}"), server.ask("perfmw_requests_total")
        for durations in ALL:
            assert server.ask(f'up{{job="{durations}"}}')[0]["value"][1] == "1"
            _assert_each_panel_is_filled(server, durations)
        known = _exemplars(server, 'perfmw_request_duration_seconds_bucket{job="histograms"}')
        assert _traces(there["histograms"]) <= known
        native = 'perfmw_request_duration_seconds{job="native", route="GET /items/{id}"}'
        assert server.ask(f"histogram_count({native})")[0]["value"][1] == "20"
        assert not server.ask('perfmw_request_duration_seconds_bucket{job="native"}')


def _assert_each_panel_is_filled(server: Server, durations: Durations) -> None:
    for panel in panels(durations):
        for query, _ in panel.queries:
            for name, value in (("job", durations), ("instance", ".*"), ("route", ".*")):
                query = query.replace(f"${name}", value)
            query = query.replace("$__rate_interval", "30s")
            if panel.title == "Performance score":
                server.ask(query)  # none before there is a baseline
            else:
                assert server.eventually(query), (durations, panel.title, query)


def _exemplars(server: Server, metric: str) -> set[str]:
    """The traces that Prometheus knows for a metric."""
    found = json.loads(
        get(
            f"{server.address}/api/v1/query_exemplars?query={urllib.parse.quote(metric)}&start=0&end=9999999999"
        )
    )
    return {one["labels"]["trace_id"] for series in found["data"] for one in series["exemplars"]}


def _traces(site: str) -> set[str]:
    """Those that the site tells of now."""
    asked = urllib.request.Request(
        f"{site}/_perfmw/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        found = set(re.findall(r'# \{trace_id="([0-9a-f]{32})"', answer.read().decode()))
    assert found
    return found


def test_the_command_writes_a_dashboard(tmp_path: Path) -> None:
    target = tmp_path / "dashboard.json"
    done = CliRunner().invoke(cli, ["export", "grafana", "--histograms", "-o", str(target)])
    assert done.exit_code == 0, done.output
    model = json.loads(target.read_text())
    assert [panel["title"] for panel in model["panels"]] == [panel.title for panel in panels("histograms")]
    assert {variable["name"] for variable in model["templating"]["list"]} == {
        "source",
        "job",
        "instance",
        "route",
    }
    assert "histogram_quantile" in json.dumps(model)
    assert "histogram_quantile" not in CliRunner().invoke(cli, ["export", "grafana"]).output


def test_the_command_says_who_does_not_answer() -> None:
    done = CliRunner().invoke(
        cli, ["export", "prometheus", "--url", f"http://127.0.0.1:{free_port()}/_perfmw"]
    )
    assert done.exit_code == 1
    assert "does not answer" in done.output
    done = CliRunner().invoke(cli, ["export", "json", "--url", "nowhere"])
    assert done.exit_code == 2


def test_kept_profiles_are_written_for_another_host(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["export", "profiles", str(tmp_path)]).exit_code == 2

    async def count() -> None:
        runtime = Runtime(Settings(state_dir=str(tmp_path), plugins=[]))
        await runtime.start()
        runtime.profiles.recorder("GET /a").hit(0.1)
        await runtime.stop()

    asyncio.run(count())
    done = CliRunner().invoke(cli, ["export", "profiles", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert [one["name"] for one in json.loads(done.output)["profiles"]] == ["GET /a"]
