"""``perfmw explain`` against a server of raw sockets."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perfmw.cli.explain import explain


@contextmanager
def serving(raw: bytes, asked: list[bytes] | None = None) -> Iterator[str]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = []
            while (line := self.rfile.readline().strip()) != b"":
                lines.append(line)
            if asked is not None:
                asked.extend(lines)
            self.wfile.write(raw)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(explain, list(arguments))


def response(*fields: str) -> bytes:
    return "\r\n".join(
        ["HTTP/1.1 200 OK", *fields, "Content-Length: 0", "Connection: close", "", ""]
    ).encode()


def test_a_cacheable_response_has_its_lifetime_key_and_variant() -> None:
    with serving(response("Cache-Control: max-age=60", "Vary: Accept-Language", "Age: 10")) as base:
        result = ask(f"{base}/a%2Fb?x=1", "-H", "Accept-Language: de")
    assert result.exit_code == 0
    rows = dict(line.split("  ", 1) for line in result.output.splitlines())
    shown = {label.strip(): value.strip() for label, value in rows.items()}
    assert shown["cacheable"] == "yes"
    assert shown["because"] == "max-age: Fresh for the max-age of its Cache-Control."
    assert shown["decided by"] == "cache-control: max-age=60"
    assert shown["lifetime"] == "60 s"
    assert shown["age"].startswith("10")
    assert shown["key"] == f"GET {base}/a%2Fb?x=1"
    assert shown["vary"] == "accept-language: de"


def test_an_uncacheable_response_says_what_to_change() -> None:
    with serving(response("Cache-Control: max-age=60", "Set-Cookie: a=b")) as base:
        result = ask(base)
    assert result.exit_code == 1
    assert "set-cookie: The response sets a cookie" in result.output
    assert "change        Set cookies on responses of their own" in result.output
    assert "a=b" not in result.output


def test_the_rfc_mode_may_decide_otherwise() -> None:
    with serving(response("Cache-Control: max-age=60", "Set-Cookie: a=b")) as base:
        assert ask(base, "--rfc").exit_code == 0


def test_the_rules_of_the_directory_apply() -> None:
    Path("perfmw.toml").write_text('[[cache_rules]]\npath = "/items/*"\nttl = 30\n')
    with serving(response()) as base:
        result = ask(f"{base}/items/1", "--json")
    found = json.loads(result.output)
    assert (found["cacheable"], found["reason"], found["rule"], found["lifetime"]) == (
        True,
        "rule",
        "/items/*",
        30,
    )


def test_the_request_is_sent_as_it_was_typed() -> None:
    asked: list[bytes] = []
    with serving(response(), asked) as base:
        ask(f"{base}/a/../b?c=%41#part", "-X", "head", "-H", "X-A: 1")
    assert asked[0] == b"HEAD /a/../b?c=%41 HTTP/1.1"
    assert b"x-a: 1" in asked


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["ftp://a"], "is not an http or https URL"),
        (["http://127.0.0.1:1", "-H", "nocolon"], "is not of the form 'Name: value'"),
    ],
)
def test_what_can_not_be_asked_is_refused(arguments: list[str], complaint: str) -> None:
    result = ask(*arguments)
    assert (result.exit_code, complaint in result.output) == (2, True)


def test_an_origin_that_is_not_there_is_a_failure() -> None:
    result = ask("http://127.0.0.1:1/")
    assert (result.exit_code, "cannot connect" in result.output) == (1, True)
