"""Settings for limits: from files and the environment, and what errors say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perfmw.settings import Concurrency, Quota, Settings, SettingsError

TOML = """
concurrency_limit = "observe"
limits_exempt = ["/up"]

[concurrency]
most = 10
queue = "100ms"

[concurrency.groups]
"/reports/**" = "reports"

[request_priorities]
"/checkout/**" = "high"

[[quotas]]
name = "per-user"
scope = "user"
limit = 600
window = "1m"

[[quotas]]
name = "exports"
path = "/exports/**"
methods = ["post"]
at_once = 2

[resource_alerts]
memory_bytes = "3GB"
"""


def load(cwd: str | Path = "/nonexistent", env: dict[str, str] | None = None, **keywords: Any) -> Settings:
    return Settings.load(env=env or {}, cwd=cwd, **keywords)


def test_a_file_says_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "perfmw.toml").write_text(TOML, encoding="utf-8")
    settings = load(tmp_path)
    assert settings.concurrency_limit == "observe"
    assert settings.concurrency.bounds == (2, 10, 10)
    assert settings.concurrency.queue == 0.1
    assert settings.concurrency.groups == {"/reports/**": "reports"}
    assert settings.request_priorities == {"/checkout/**": "high"}
    assert settings.limits_exempt == ("/up",)
    assert settings.quotas == (
        Quota(name="per-user", scope="user", limit=600, window=60.0),
        Quota(name="exports", path="/exports/**", methods=["POST"], at_once=2),
    )
    assert settings.resource_alerts == {"memory_bytes": 3e9, "cpu": 0.7, "storage": 0.9, "descriptors": 0.8}
    assert settings.to_dict()["quotas"][0]["name"] == "per-user"
    assert hash(settings) == hash(load(tmp_path))


def test_the_environment_says_it_as_json() -> None:
    env = {
        "PERFMW_CONCURRENCY": '{"least": 3}',
        "PERFMW_QUOTAS": '[{"name": "all", "limit": 5}]',
        "PERFMW_REQUEST_PRIORITIES": '{"/feed": "low"}',
    }
    settings = load(env=env)
    assert settings.concurrency.bounds == (3, 20, 1000)
    assert settings.quotas[0].window == 60.0
    assert settings.request_priorities == {"/feed": "low"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"concurrency_limit": "yes"}, "allowed: one of off, observe, on"),
        ({"concurrency": {"leest": 1}}, "unknown key 'leest'; did you mean 'least'"),
        ({"concurrency": {"least": 30, "initial": 20}}, "least <= initial <= most is asked for, not 30, 20"),
        ({"concurrency": {"most": 30, "most_tried": 29}}, "most_tried is at least most, 30, not 29"),
        ({"concurrency": {"groups": {"reports": "a"}}}, "'reports' is no path"),
        ({"request_priorities": {"/a": "urgent"}}, "'urgent' is not one of low, normal, high"),
        ({"limits_exempt": ["/up?x"]}, "without a query"),
        ({"quotas": [{"limit": 5}]}, "quota 1: name is missing"),
        ({"quotas": [{"name": "a"}]}, "quota 1: limit is missing, or at_once"),
        ({"quotas": [{"name": "a", "limit": 5, "burst": 6}]}, "burst = 6 is more than limit = 5"),
        (
            {"quotas": [{"name": "a", "at_once": 5, "shared": True}]},
            "shared counts a limit, and there is none",
        ),
        ({"quotas": [{"name": "a", "limit": 5}] * 2}, "two quotas are named 'a'"),
        ({"quotas": [{"name": "a", "limit": 5, "scope": "team"}]}, "one of global, application, component"),
        ({"quotas": [{"name": "a", "limit": 5, "methods": ["G T"]}]}, "a list of methods"),
        ({"quotas": ["a"]}, "'a' is not a table"),
        ({"resource_alerts": {"disk": 0.5}}, "'disk' is not one of memory_bytes, cpu"),
        ({"resource_alerts": {"cpu": 70}}, "resource_alerts"),
        ({"forecast_capacity": 0}, "a number above 0"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(**values)
    assert message in str(raised.value)
    assert next(iter(values)) in str(raised.value)


def test_what_is_made_in_code_is_checked_too() -> None:
    assert Concurrency(most=1).bounds == (1, 1, 1)
    with pytest.raises(SettingsError, match="window"):
        Quota(name="a", limit=5, window=0)
