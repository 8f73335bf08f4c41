from __future__ import annotations

import signal
import socket
import subprocess
import urllib.request
from pathlib import Path
from time import sleep

import pytest

from perfmw.cli import run as run_command
from perfmw.cli import serving as serving_module
from perfmw.cli.listening import PortError, free_port, is_loopback, listen
from perfmw.cli.output import Refusal
from perfmw.settings import Settings
from tests.cli.conftest import COMMAND, Run, clean_env, serving

APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    headers = [(b"cache-control", b"max-age=60"), (b"x-twice", b"1"), (b"x-twice", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})

def make():
    return app

def pair(left, right):
    return app

number = 3
"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    (tmp_path / "hello.py").write_text(APP)
    (tmp_path / "needy.py").write_text("import no_such_library\n")
    (tmp_path / "faulty.py").write_text("app = None.nothing\n")
    (tmp_path / "wrong.py").write_text("def f(:\n")
    return tmp_path


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        ("nosuch:app", 2, "no module named 'nosuch'"),
        ("hello:ap", 2, "did you mean app?"),
        ("hello:number", 2, "not an ASGI app"),
        ("hello:make", 2, "add --factory"),
        ("hello:pair", 2, "takes 2 arguments"),
        ("a:b:c", 2, "module:attribute"),
        ("needy:app", 1, "No module named 'no_such_library'"),
        ("faulty:app", 1, "'NoneType' object has no attribute 'nothing'"),
        ("wrong:app", 1, "SyntaxError"),
    ],
)
def test_a_target_that_cannot_be_served(run: Run, target: str, code: int, said: str) -> None:
    done = run("run", target, "--port", "0")
    assert done.returncode == code
    assert said in done.stderr
    assert "perfmw/cli" not in done.stderr  # the user's own code, not ours


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"PERFMW_LAYERS": "nosuch"}, "layers = 'nosuch' (from env PERFMW_LAYERS)"),
        ({"PERFMW_EVICTION_POLICY": "lruu"}, "did you mean 'lru'?"),
        ({"PERFMW_APDEX_T": "x"}, "apdex_t = 'x'"),
    ],
)
def test_a_wrong_setting_is_bad_input(run: Run, env: dict[str, str], said: str) -> None:
    done = run("run", "hello:app", "--port", "0", env=env)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.usefixtures("modules")
def test_workers_do_not_die_in_a_loop_over_a_missing_target(run: Run) -> None:
    done = run("run", "nosuch:app", "--port", "0", "--workers", "2")
    assert done.returncode == 2
    assert done.stderr.count("no module named 'nosuch'") == 1


@pytest.mark.usefixtures("modules")
def test_a_port_in_use_is_named_with_the_way_out(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("run", "hello:app", "--port", str(port))
    assert done.returncode == 2
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert "--port" in done.stderr


def test_reload_and_workers_exclude_each_other(run: Run) -> None:
    done = run("run", "hello:app", "--reload", "--workers", "2")
    assert done.returncode == 2
    assert "--reload" in done.stderr


def test_a_server_that_is_not_installed_is_named_with_its_pip_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Refusal, match="pip install 'uvicorn"):
        serving_module.require("uvicorn")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortError, match="not an address of this machine"):
        listen("192.0.2.1", 0)


def test_a_free_port_can_be_listened_on() -> None:
    with listen("127.0.0.1", free_port()) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False)]
)
def test_loopback_hosts(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("wanted", "set_to", "host", "mode"),
    [
        (None, None, "127.0.0.1", "loopback"),
        (None, None, "0.0.0.0", "token"),
        (None, "off", "127.0.0.1", "off"),
        ("off", "loopback", "127.0.0.1", "off"),
        ("token", None, "127.0.0.1", "token"),
    ],
)
def test_who_sees_the_dashboard(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None, set_to: str | None, host: str, mode: str
) -> None:
    env = {"PERFMW_DASHBOARD": set_to} if set_to else {}
    for name in ("PERFMW_DASHBOARD", "PERFMW_DASHBOARD_TOKEN"):
        monkeypatch.setenv(name, "")
    run_command._choose_dashboard(Settings.load(env=env), wanted, host)  # type: ignore[arg-type]
    chosen = Settings.load()
    assert chosen.dashboard == mode
    assert (chosen.dashboard_token is not None) == (mode == "token")


def test_an_app_is_served_wrapped_and_unchanged(modules: Path) -> None:
    with serving(modules, "hello:app") as served:
        answers = [urllib.request.urlopen(served.url) for _ in range(2)]
        assert [answer.read() for answer in answers] == [b"hello"] * 2
        assert answers[0].headers.get_all("x-twice") == ["1", "2"]
        said = [answer.headers["cache-status"] for answer in answers]
        assert said[0].startswith("perfmw; fwd=uri-miss")
        assert said[1].startswith("perfmw; hit")
        with urllib.request.urlopen(f"{served.url}/_perfmw/") as page:
            assert page.status == 200
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(20) == 0


def test_the_login_url_opens_the_dashboard(modules: Path) -> None:
    with serving(modules, "hello:make", "--factory", "--dashboard", "token") as served:
        with pytest.raises(urllib.request.HTTPError, match="401") as refused:
            urllib.request.urlopen(f"{served.url}/_perfmw/api/v1/overview")
        refused.value.close()
        login = next(word for word in served.said.split() if "login?token=" in word)
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with browser.open(login) as page:
            assert page.url == f"{served.url}/_perfmw/"


@pytest.mark.parametrize("server", ["granian", "hypercorn"])
def test_other_servers_serve_the_same(modules: Path, server: str) -> None:
    port = free_port()
    command = [*COMMAND, "run", "hello:app", "--server", server, "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=modules, env=clean_env(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(400):
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/")
                break
            except OSError:
                sleep(0.1)
        assert answer.read() == b"hello"
        assert answer.headers["cache-status"].startswith("perfmw; fwd=uri-miss")
    finally:
        process.terminate()
        process.wait(20)
