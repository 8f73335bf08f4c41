"""``perfmw cache`` and ``perfmw cache warm`` against a running server, an app and a site."""

from __future__ import annotations

import gzip
import io
import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from perfmw.cli.group import cli
from tests.cli.conftest import serving

APP = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from perfmw import cached


@cached(ttl=60, tags=["items"], namespace="shop.load")
async def load(number):
    return {"id": number}


async def item(request):
    return JSONResponse(await load(request.path_params["id"]), headers={"cache-control": "max-age=600"})


async def secret(request):
    return PlainTextResponse("mine", headers={"cache-control": "private"})


async def sitemap(request):
    urls = "".join(f"<url><loc>https://shop.example/items/{number}</loc></url>" for number in range(5))
    return Response(f"<urlset>{urls}</urlset>", media_type="application/xml")


app = Starlette(
    routes=[Route("/items/{id}", item), Route("/secret", secret), Route("/sitemap.xml", sitemap)]
)
"""
SETTINGS = 'dashboard = "loopback"\nplugins = []\n'


def run(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["cache", *arguments], input=given)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(APP)
    (folder / "perfmw.toml").write_text(SETTINGS)
    with serving(folder, "shop:app") as served:
        yield served.url.rstrip("/")


@pytest.fixture
def server(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of its dashboard; the cache is empty."""
    monkeypatch.chdir(tmp_path)
    server = f"{site}/_perfmw"
    assert run("purge", "--prefix", "", "--prefix", "GET http", "--url", server, "--yes").exit_code == 0
    return server


def visit(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        answer.read()
        return str(answer.headers["cache-status"])


def test_stats_are_a_table_or_json(site: str, server: str) -> None:
    visit(f"{site}/items/1")
    visit(f"{site}/items/1")
    data = json.loads(run("stats", "--url", server, "--json").stdout)
    [route] = [use for use in data["routes"] if use["name"] == "GET /items/{id}"]
    assert route["hits"] >= 1
    assert route["hit_bytes"] >= 10
    assert data["layers"][0]["left"]["invalidated"] >= 0
    text = run("stats", "--url", server).stdout
    for word in ("memory", "GET /items/{id}", "shop.load", "time saved", "evicted", "hit rate"):
        assert word in text
    assert "more: --most" in run("stats", "--url", server, "--most", "1").stdout


def explained(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["explain", *arguments])


def test_a_running_perfmw_explains_its_own_urls(site: str, server: str) -> None:
    visit(f"{site}/items/1")
    told = explained("/items/1", "--url", server)
    assert told.exit_code == 0
    assert f"GET {site}/items/1" in told.stdout
    assert "stored now    1" in told.stdout
    data = json.loads(explained("/secret", "--url", server, "--json", "-H", "X-A: 1").stdout)
    assert (data["cacheable"], data["reason"], data["stored"]) == (False, "private", [])
    assert explained("/secret", "--url", server).exit_code == 1
    refused = explained("/items/1", "--url", server, "--rfc")
    assert (refused.exit_code, "has its own" in refused.stderr) == (2, True)
    assert explained("items", "--url", server).exit_code == 2


def test_ls_get_and_purge(site: str, server: str) -> None:
    visit(f"{site}/items/1?token=abc123")
    visit(f"{site}/items/2")
    listed = run("ls", "--url", server, "--prefix", site)
    assert listed.stdout.splitlines() == [f"GET {site}/items/1?token=********", f"GET {site}/items/2"]
    [first, _] = json.loads(run("ls", "--url", server, "--prefix", site, "--reveal", "--json").stdout)
    assert first == {"key": f"GET {site}/items/1?token=abc123", "layers": ["memory"]}
    assert "there may be more" in run("ls", "--url", server, "--limit", "1").stderr
    shown = run("get", f"{site}/items/2", "--url", server, "--value").stdout
    assert "fresh for" in shown
    assert '{"id":"2"}' in shown
    counted = json.loads(
        run("purge", "--page", f"{site}/items/2", "--url", server, "--dry-run", "--json").stdout
    )
    assert (counted["removed"], counted["dry_run"]) == (1, True)
    assert run("purge", "--page", f"{site}/items/2", "--url", server, "--soft", "--yes").stdout == "1\n"
    assert "no longer" in run("get", f"{site}/items/2", "--url", server).stdout
    assert run("purge", "--key", f"{site}/items/2", "--url", server, "--yes").stdout == "1\n"
    gone = run("get", f"{site}/items/2", "--url", server)
    assert (gone.exit_code, gone.stdout) == (1, "")
    assert run("purge", "--route", "GET /items/{id}", "--url", server, "--yes").exit_code == 0
    assert visit(f"{site}/items/1?token=abc123").startswith("perfmw; fwd=uri-miss")


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("stats", "--url", "http://127.0.0.1:1/_perfmw"), 1, "does not answer"),
        (("stats", "--url", "nonsense"), 2, "is no URL of a dashboard"),
        (("stats", "--url", "{site}/nothing"), 1, "is no dashboard of perfmw"),
        (("get", "absent", "--url", "{server}"), 1, "Nothing is kept"),
        (("purge", "--page", "/items/1", "--url", "{server}", "--yes"), 2, "url must be absolute"),
        (("purge", "--tag", "a", "--url", "{server}"), 2, "--yes"),
        (("ls", "--limit", "0"), 2, "--limit"),
        (("warm", "hottest"), 2, "--url URL, --site URL and --target"),
        (("warm", "hottest", "--url", "{server}", "--site", "{site}"), 2, "say what to warm up"),
        (("warm", "absent.txt", "--url", "{server}"), 2, "cannot be read"),
        (("warm", "robots:/robots.txt", "--url", "{server}"), 2, "SOURCE may begin with"),
        (("warm", "hottest", "--url", "{server}", "-H", "Cookie: a=b"), 2, "does not send cookie"),
        (("warm", "hottest", "--url", "{server}", "-H", "nocolon"), 2, "Name: value"),
        (("warm", "hottest", "--site", "{site}"), 2, "does not tell its hottest keys"),
        (("warm", "sitemap:/sitemap.xml", "--site", "ftp://a"), 2, "not an http or https URL"),
        (("warm", "-", "--url", "{server}"), 2, "stdin names nothing that could be asked for"),
    ],
)
def test_what_cannot_be_done_is_said(
    site: str, server: str, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    result = run(*(argument.format(site=site, server=server) for argument in arguments))
    assert (result.exit_code, complaint in result.stderr) == (code, True), result.output
    assert result.stdout == ""


def test_a_server_that_wants_its_token(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "perfmw.toml").write_text('dashboard = "token"\nplugins = []\n')
    with serving(tmp_path, "shop:app", env={"PERFMW_DASHBOARD_TOKEN": "sesame-open"}) as served:
        server = f"{served.url.rstrip('/')}/_perfmw"
        for token in ([], ["--token", "wrong"]):
            refused = run("stats", "--url", server, *token)
            assert (refused.exit_code, "wants its token" in refused.stderr) == (2, True)
        told = run("purge", "--tag", "a", "--url", server, "--token", "sesame-open", "--yes")
        assert (told.exit_code, told.stdout) == (0, "0\n")


# ---- warming up


def result_of(result: Result, code: int = 0) -> dict[str, object]:
    assert result.exit_code == code, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_a_sitemap_of_the_site_in_the_server(site: str, server: str) -> None:
    warm = ["warm", "sitemap:/sitemap.xml", "--url", server, "--rate", "1000", "--json"]
    nothing = run(*warm)
    assert result_of(nothing, 1)["skipped"] == {"off-host": 5}
    assert "--origin" in nothing.stderr
    assert result_of(run(*warm, "--origin", "https://shop.example"))["stored"] == 5
    assert len(run("ls", "--url", server, "--prefix", "https://shop.example/").stdout.splitlines()) == 5


def test_a_log_a_list_and_stdin(site: str, server: str, tmp_path: Path) -> None:
    line = '1.2.3.4 - - [10/Oct/2023:13:55:36 -0700] "{} HTTP/1.1" {} 100\n'
    rows = ["GET /items/7", "GET /items/8", "GET /items/7", "POST /items/9"]
    log = "".join(line.format(row, 200) for row in rows) + line.format("GET /gone", 404) + "broken\n"
    (tmp_path / "access.log.gz").write_bytes(gzip.compress(log.encode()))
    result = run("warm", "access.log.gz", "--url", server, "--limit", "1", "--json")
    assert result_of(result)["stopped"] == "limit"
    assert "1 of 6 lines" in result.stderr
    assert visit(f"{site}/items/7").startswith("perfmw; hit")
    (tmp_path / "urls.txt").write_text("/items/7\n# no\n/items/10\n")
    told = result_of(run("warm", "urls.txt", "--url", server, "--json"))
    assert (told["stored"], told["fresh"]) == (1, 1)
    told = result_of(run("warm", "-", "--url", server, "--json", given=b"/items/11\n"))
    assert told["stored"] == 1


def test_a_site_over_http(site: str, server: str, tmp_path: Path) -> None:
    (tmp_path / "map.xml").write_text(f"<urlset><url><loc>{site}/items/20</loc></url></urlset>")
    told = result_of(run("warm", "map.xml", "--site", site, "--json"))
    assert (told["asked"], told["stored"]) == (1, 1)
    text = run(
        "warm", "-", "--site", site, given=b"/items/20\n/secret\n/nothing\nhttps://evil.example/\n/logout\n"
    )
    assert text.exit_code == 0
    assert "fresh     1" in text.stdout
    assert "private 1" in text.stdout
    assert "off-host 1" in text.stdout
    assert "unsafe 1" in text.stdout
    remote = result_of(run("warm", "sitemap:/sitemap.xml", "--site", site, "--json"), 1)
    assert remote["skipped"] == {"off-host": 5}
    away = result_of(run("warm", "-", "--site", "http://127.0.0.1:1", "--json", given=b"/a\n"), 1)
    assert list(away["failed"]) == ["cannot connect to 127.0.0.1 port 1"]  # type: ignore[call-overload]


def test_what_the_command_line_names_goes_before_the_environment(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFMW_URL", "http://127.0.0.1:1/_perfmw")
    assert result_of(run("warm", "-", "--site", site, "--json", given=b"/items/40\n"))["stored"] == 1
    both = run("warm", "-", "--site", site, "--url", "http://127.0.0.1:1/_perfmw", given=b"/items/40\n")
    assert (both.exit_code, "one of --url" in both.stderr) == (2, True)


@pytest.mark.parametrize(("sources", "shown"), [([], "2/3"), (["hottest"], "2/?")])
def test_the_progress_bar_knows_its_end_where_the_urls_are_known(
    monkeypatch: pytest.MonkeyPatch, sources: list[str], shown: str
) -> None:
    from perfmw.cli.warm import Bounds, Wanted, _progress

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with _progress(Wanted(sources, ["/a", "/b", "/c", "/d"]), Bounds(limit=3)) as progress:
        progress({"asked": 1, "skipped": {"unsafe": 1}})
    assert shown in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_an_openapi_document_in_a_file(site: str, server: str, tmp_path: Path) -> None:
    parameter = {"name": "id", "in": "path", "required": True, "example": 30}
    paths = {"/items/{id}": {"get": {"parameters": [parameter]}}, "/x/{y}": {"get": {}}}
    (tmp_path / "api.json").write_text(json.dumps({"openapi": "3.1.0", "paths": paths}))
    result = run("warm", "api.json", "--url", server, "--json")
    assert result_of(result)["stored"] == 1
    assert "1 GET operations" in result.stderr


def test_an_app_fills_the_layers_that_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "warmed_shop.py").write_text(APP)
    (tmp_path / "urls.txt").write_text("/items/1")
    hurried = 'layers = ["memory", "disk"]\nlayer_deadline = "1ms"\n'  # as slow as any disk may once be
    origin = ("--origin", "https://shop.example")
    stored, unknown, lost, unkept = in_a_process(
        tmp_path,
        (hurried, "sitemap:/sitemap.xml", *origin),
        ('layers = ["disk"]\nlayer_deadline = "30s"\n', "hottest"),
        ('layers = ["disk"]\ndisk_path = "perfmw.toml/file"\n', "urls.txt", *origin),
        ("", "sitemap:/sitemap.xml"),
    )
    assert (stored["code"], stored["told"]["stored"]) == (0, 5)
    assert (unknown["code"], unknown["told"]) == (2, {})
    assert (lost["code"], "layer disk" in str(lost["told"]["problems"])) == (1, True)
    assert (unkept["code"], unkept["told"]) == (2, {})
    (tmp_path / "perfmw.toml").write_text(SETTINGS + 'layers = ["disk"]\nlayer_deadline = "30s"\n')
    assert len([key for key in run("ls").stdout.splitlines() if "shop.example" in key]) == 5


WARM = """
import json, os, sys
from pathlib import Path
from click.testing import CliRunner
from perfmw.cli.group import cli
from perfmw import PerfMiddleware, testing

for settings, *arguments in json.loads(sys.argv[1]):
    Path("perfmw.toml").write_text(settings)
    if (child := os.fork()):
        os.waitpid(child, 0)
        continue
    done = CliRunner().invoke(cli, ["cache", "warm", *arguments, "--target", "warmed_shop:app", "--json"])
    print(json.dumps({"code": done.exit_code, "told": json.loads(done.stdout or "{}")}), flush=True)
    os._exit(0)
"""


def in_a_process(folder: Path, *steps: tuple[str, ...]) -> list[dict[str, Any]]:
    """Warm-ups with their settings, each in a process of its own, since it loads an app for good."""
    import subprocess
    import sys

    from tests.cli.conftest import clean_env

    command = [sys.executable, "-c", WARM, json.dumps([(SETTINGS + step[0], *step[1:]) for step in steps])]
    done = subprocess.run(command, cwd=folder, env=clean_env(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_ctrl_c_stops_the_warm_up_and_tells_what_it_did(
    site: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perfmw.cli import warm as command

    pauses = iter([KeyboardInterrupt()])

    def pause(seconds: float) -> None:
        if (interrupt := next(pauses, None)) is not None:
            raise interrupt

    monkeypatch.setattr(command.time, "sleep", pause)
    urls = "".join(f"/items/{number}\n" for number in range(100)).encode()
    stopped = run("warm", "-", "--url", server, "--rate", "1", "--json", given=urls)
    assert result_of(stopped, 1)["stopped"] == "cancelled"
    assert "stopping" in stopped.stderr
