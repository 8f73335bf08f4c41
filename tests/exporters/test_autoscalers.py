"""What the documents tell KEDA and Kubernetes to read is there, by the word of their manifests."""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from perfmw import PerfMiddleware, Settings
from tests.exporters.test_prometheus_server import Server, needs_prometheus, scraping, serving

yaml = pytest.importorskip("yaml")
PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
TOKEN = "a token that only looks"


def manifests() -> list[dict[str, Any]]:
    found = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return [one for text in found for one in yaml.safe_load_all(text)]


def trigger(kind: str) -> dict[str, Any]:
    scaled = [one for one in manifests() if one.get("kind") == "ScaledObject"]
    (found,) = [one for each in scaled for one in each["spec"]["triggers"] if one["type"] == kind]
    return dict(found)


@contextmanager
def site(**settings: Any) -> Iterator[str]:
    """The authority of a site."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    made = PerfMiddleware(app, Settings(plugins=[], **settings))
    with socket.create_server(("127.0.0.1", 0)) as listening, serving(made, listening):
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def asked(url: str, token: str | None) -> bytes:
    fields = {} if token is None else {"authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=fields), timeout=10) as answer:
        return bytes(answer.read())


def at(location: str, answer: Any) -> Any:
    """The part of a GJSON path that manifests here use: names with dots between."""
    for name in location.split("."):
        answer = answer[name]
    return answer


def test_keda_finds_a_number_where_its_manifest_says_and_needs_the_token() -> None:
    wanted = trigger("metrics-api")
    reads = wanted["metadata"]
    assert reads["authMode"] == "bearer"
    (secret,) = [one for one in manifests() if one.get("kind") == "TriggerAuthentication"]
    assert secret["metadata"]["name"] == wanted["authenticationRef"]["name"]
    assert [one["parameter"] for one in secret["spec"]["secretTargetRef"]] == ["token"]
    with site(
        dashboard="token", dashboard_token="operates, which it does not need", dashboard_read_token=TOKEN
    ) as there:
        url = re.sub(r"^http://[^/]+", f"http://{there}", reads["url"])
        with pytest.raises(urllib.error.HTTPError, match="401"):
            asked(url, None)
        value = at(reads["valueLocation"], json.loads(asked(url, TOKEN)))
    assert float(value) / float(reads["targetValue"]) == 1.0  # the worker there is, before there is advice


@needs_prometheus
def test_prometheus_answers_what_keda_and_the_adapter_ask(tmp_path: Path) -> None:
    (rules,) = [one["externalRules"] for one in manifests() if "externalRules" in one]
    (scaler,) = [one for one in manifests() if one.get("kind") == "HorizontalPodAutoscaler"]
    (metric,) = [one["external"]["metric"]["name"] for one in scaler["spec"]["metrics"]]
    (rule,) = rules
    query = rule["metricsQuery"].replace("<<.Series>>", metric).replace("<<.LabelMatchers>>", 'job="shop"')
    with site(dashboard="loopback") as there, scraping(tmp_path, {"shop": there}) as server:  # type: ignore[dict-item]
        assert _number(server, trigger("prometheus")["metadata"]["query"]) == 1.0
        assert [one["metric"]["__name__"] for one in server.eventually(rule["seriesQuery"])] == [metric]
        assert _number(server, query) == 1.0


def _number(server: Server, query: str) -> float:
    (found,) = server.eventually(query)
    return float(found["value"][1])
