from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.cli.doctor_app import check_app, parts_of, settings_of
from perfmw.cli.doctor_backends import check_files, check_layers
from perfmw.cli.doctor_settings import check_environment, check_rules, check_settings
from perfmw.cli.findings import Finding, error, hint, in_order, summary, warning
from perfmw.cli.listening import free_port
from tests.cli.conftest import Run, serving

APP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

print("loud while it is imported")


async def page(request):
    return PlainTextResponse("page", headers={"cache-control": "max-age=60"})


app = Starlette(routes=[Route("/", page)])
"""


def settings(**given: Any) -> Settings:
    return Settings.load(env={}, cwd="/nowhere", **given)


def codes(found: Iterator[Finding] | list[Finding]) -> set[tuple[str, str]]:
    return {(one.severity, one.code) for one in found}


def of_app(app: object, chosen: Settings | None = None) -> list[Finding]:
    parts = parts_of(app)
    return list(check_app(app, parts, chosen or settings_of(parts) or settings()))


# ---- settings


def test_the_defaults_are_fine() -> None:
    assert list(check_settings(settings())) == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"enabled": False}, ("note", "disabled")),
        ({"redis_url": "redis://localhost"}, ("warning", "unused-setting")),
        ({"disk_path": "c.sqlite3"}, ("warning", "unused-setting")),
        ({"cdn_token": "a-token"}, ("warning", "unused-setting")),
        ({"encryption_keys": ["a:" + "A" * 43 + "="]}, ("error", "not-encrypted")),
        ({"otlp_protocol": "grpc"}, ("warning", "unused-setting")),
        ({"dynamic_ttl": True}, ("warning", "no-effect")),
        ({"cache_rules": [{"path": "/a", "ttl": 5, "max_stale": 0.1}]}, ("warning", "no-effect")),
        ({"warm_up": ["sitemap:/sitemap.xml"]}, ("warning", "no-effect")),
        ({"trace_with": "opentelemetry"}, ("warning", "no-effect")),
        ({"allow_set_cookie": True}, ("warning", "cookies-shared")),
        ({"rfc_strict": True}, ("warning", "guards-off")),
        ({"trust_forwarded_host": True}, ("note", "forwarded-host")),
        ({"dashboard": "token", "dashboard_token": "12345678"}, ("error", "weak-token")),
        ({"dashboard_token": "a-long-enough-token"}, ("warning", "unused-setting")),
    ],
)
def test_what_contradicts_itself_is_found(given: dict[str, Any], code: tuple[str, str]) -> None:
    assert code in codes(check_settings(settings(**given)))


def test_workers_that_know_nothing_of_each_other() -> None:
    found = codes(check_settings(settings(dashboard="token"), workers=2))
    assert found == {("error", "token-per-process"), ("warning", "workers-apart")}
    assert codes(check_settings(settings(state_dir="s", cache_strategy="hybrid"), workers=2)) == set()


def test_unknown_variables_are_named() -> None:
    env = {"PERFMW_APDEX_T": "1", "PERFMW_APDEX": "1", "PERFMW_TARGET": "a:b", "HOME": "/"}
    (found,) = check_environment(env)
    assert "PERFMW_APDEX " in found.what


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([CacheRule(path="/**", shared=True)], ("error", "shared-everything")),
        ([CacheRule(path="/**", ttl=5)], ("warning", "rule-on-everything")),
        ([CacheRule(path="/account/*", shared=True)], ("warning", "shared-personal")),
        ([CacheRule(path="/items", shared=True, vary=["cookie"])], ("warning", "contradiction")),
        (
            [CacheRule(path="/a/**", ttl=5), CacheRule(path="/a/*/b", ttl=1)],
            ("warning", "rule-never-applies"),
        ),
    ],
)
def test_rules_that_reach_too_far(rules: list[CacheRule], code: tuple[str, str]) -> None:
    assert code in codes(check_rules(rules))


def test_rules_that_are_fine() -> None:
    rules = [
        CacheRule(path="/items/*", ttl=60),
        CacheRule(path="/items/**", ttl=5),
        CacheRule(path="/news", ttl=5, shared=True),
        CacheRule(path="/media/**", ttl=5),
    ]
    assert list(check_rules(rules)) == []


@given(st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=4))
def test_no_rule_applies_behind_itself(segments: list[str]) -> None:
    rule = CacheRule(path="/" + "/".join(segments), ttl=1)
    assert ("warning", "rule-never-applies") in codes(check_rules([rule, rule]))


# ---- the app


def test_perfmw_outermost_is_fine() -> None:
    app = Starlette()
    app.add_middleware(GZipMiddleware)
    app.add_middleware(SessionMiddleware, secret_key="k")
    assert of_app(PerfMiddleware(app, settings=settings())) == []
    app.add_middleware(PerfMiddleware, settings=settings())
    assert of_app(app) == []


def test_what_is_outside_of_perfmw_is_found() -> None:
    app = Starlette()
    app.add_middleware(PerfMiddleware, settings=settings())
    app.add_middleware(SessionMiddleware, secret_key="k")
    wrapped = GZipMiddleware(app)
    found = {(one.severity, one.what.partition(",")[0]) for one in of_app(wrapped)}
    assert found == {("error", "SessionMiddleware"), ("warning", "GZipMiddleware")}


def test_cors_inside_of_perfmw_is_found_and_outside_is_fine() -> None:
    inside = Starlette()
    inside.add_middleware(CORSMiddleware, allow_origins=["*"])
    assert ("warning", "middleware-order") in codes(of_app(PerfMiddleware(inside, settings=settings())))
    assert of_app(CORSMiddleware(PerfMiddleware(Starlette(), settings=settings()))) == []


def test_perfmw_in_it_twice_and_below_a_mount() -> None:
    inner = Starlette()
    inner.add_middleware(PerfMiddleware, settings=settings())
    assert codes(of_app(PerfMiddleware(inner, settings=settings()))) == {("error", "perfmw-twice")}
    assert codes(of_app(Starlette(routes=[Mount("/in", inner)]))) == {("error", "no-lifespan")}
    assert codes(of_app(Starlette())) == {("note", "not-installed")}


def test_instrumented_twice() -> None:
    app = Starlette()
    app._is_instrumented_by_opentelemetry = True  # type: ignore[attr-defined]
    traced = PerfMiddleware(app, settings=settings(trace_ratio=0.1))
    assert codes(of_app(traced)) == {("warning", "double-instrumentation")}
    assert of_app(PerfMiddleware(app, settings=settings())) == []


def test_other_frameworks_are_looked_through() -> None:
    litestar = pytest.importorskip("litestar")
    from litestar.config.cors import CORSConfig

    app = PerfMiddleware(litestar.Litestar(cors_config=CORSConfig()), settings=settings())
    assert codes(of_app(app)) == {("warning", "middleware-order")}
    quart = pytest.importorskip("quart").Quart("shop")
    quart.asgi_app = PerfMiddleware(quart.asgi_app, settings=settings())
    assert of_app(quart) == []


def test_sessions_and_shared_rules() -> None:
    app = Starlette()
    app.add_middleware(SessionMiddleware, secret_key="k")
    rules = [CacheRule(path="/items", shared=True)]
    found = of_app(PerfMiddleware(app, settings=settings(cache_rules=rules)))
    assert codes(found) == {("warning", "shared-session")}


# ---- files and layers


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    found = list(check_files(settings(state_dir=str(file / "state"))))
    assert codes(found) == {("error", "not-writable")}
    assert str(file) in found[0].what
    assert list(check_files(settings(state_dir=str(tmp_path / "new" / "state")))) == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes")
def test_files_that_others_may_write(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    chosen = settings(state_dir=str(state), layers=["memory", "disk"])
    assert ("error", "file-mode") in codes(check_files(chosen))
    state.chmod(0o700)
    chosen.cache_file.write_bytes(b"")
    chosen.cache_file.chmod(0o644)
    assert codes(check_files(chosen)) == {("warning", "file-mode")}
    chosen.cache_file.chmod(0o600)
    assert list(check_files(chosen)) == []


@pytest.mark.anyio
async def test_layers_are_tried_out(tmp_path: Path) -> None:
    chosen = settings(layers=["memory", "disk"], disk_path=str(tmp_path / "c.sqlite3"), plugins=[])
    assert await check_layers(chosen) == []
    (found,) = await check_layers(settings(layers=["memory", "nosuch"], plugins=[]))
    assert (found.severity, found.code) == ("error", "settings")


@pytest.mark.anyio
async def test_an_unreachable_server_is_named() -> None:
    pytest.importorskip("redis")
    url = f"redis://127.0.0.1:{free_port()}"
    (found,) = await check_layers(settings(layers=["memory", "redis"], redis_url=url, plugins=[]))
    assert (found.severity, found.code) == ("error", "backend")
    assert "redis_url" in found.fix


# ---- the command


def test_findings_are_told_gravest_first_and_once() -> None:
    found = in_order([hint("a", "x", "y"), warning("b", "x", "y"), error("c", "x", "y"), hint("a", "x", "y")])
    assert [one.code for one in found] == ["c", "b", "a"]
    assert summary([*found, hint("d", "x", "y")]) == "1 error, 1 warning, 2 notes"
    assert summary([]) == "nothing to mend"


def test_an_app_that_is_fine(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    done = run("doctor", "shop:app", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one["code"] for one in told["findings"]] == ["not-installed"]
    assert told["versions"]["perfmw"].startswith("0.")
    assert "loud" in done.stderr


def test_errors_are_exit_code_1(run: Run, tmp_path: Path) -> None:
    (tmp_path / "perfmw.toml").write_text('[[cache_rules]]\npath = "/**"\nshared = true\n')
    done = run("doctor", env={"PERFMW_PLUGINS": "nosuch"})
    assert done.returncode == 1
    assert "[shared-everything]" in done.stdout
    assert "no plugin of that name is installed" in done.stdout
    assert "2 errors" in done.stderr


def test_settings_that_cannot_be_read_are_a_finding(run: Run, tmp_path: Path) -> None:
    (tmp_path / "perfmw.toml").write_text("apdex_t = 'soon'\nnosuch = 1\n")
    done = run("doctor", "--json")
    assert done.returncode == 1
    assert {one["code"] for one in json.loads(done.stdout)["findings"]} == {"settings"}
    assert len(json.loads(done.stdout)["findings"]) == 2


def test_an_app_that_fails_is_a_finding_and_none_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    done = run("doctor", "broken:app", "--json")
    assert done.returncode == 1
    assert "ZeroDivisionError" in json.loads(done.stdout)["findings"][0]["what"]
    assert run("doctor", "nosuch:app").returncode == 2


def test_a_running_server(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "perfmw.toml").write_text(
        'dashboard = "loopback"\nplugins = ["nosuch"]\n[[cache_rules]]\npath = "/**"\nshared = true\n'
    )
    with serving(tmp_path, "shop:app") as served:
        done = run("doctor", "--url", f"{served.url}/_perfmw", "--json")
        wrong = run("doctor", "--url", f"{served.url}/nothing")
    assert done.returncode == 1, done.stderr
    assert "shared-everything" in {one["code"] for one in json.loads(done.stdout)["findings"]}
    assert wrong.returncode == 1
    assert "is no dashboard of perfmw" in wrong.stderr
