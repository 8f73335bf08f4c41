"""Settings: the order of sources, the origin of each value, and what errors say."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.settings import CacheRule, Settings, SettingsError, parse_duration, parse_size


def load(cwd: Path | None = None, env: dict[str, str] | None = None, **keywords: Any) -> Settings:
    return Settings.load(env=env or {}, cwd=cwd or "/nonexistent", **keywords)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory where both files set everything that the test looks at."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.perfmw]\napdex_t = 1\nmax_profiles = 1\ntrace_ratio = 1\nlayers = ["a"]\n'
    )
    (tmp_path / "perfmw.toml").write_text('apdex_t = 2\nmax_profiles = 2\nlayers = ["b"]\n')
    return tmp_path


def test_each_source_beats_those_behind_it(project: Path) -> None:
    env = {"PERFMW_APDEX_T": "3", "PERFMW_MAX_PROFILES": "3"}
    settings = load(project, env, apdex_t=4)
    values = {"apdex_t": 4.0, "max_profiles": 3, "layers": ("b",), "trace_ratio": 1.0, "coalesce": True}
    origins = {
        "apdex_t": "keyword",
        "max_profiles": "env PERFMW_MAX_PROFILES",
        "layers": "perfmw.toml",
        "trace_ratio": "pyproject.toml [tool.perfmw]",
        "coalesce": "default",
    }
    assert {name: getattr(settings, name) for name in values} == values
    assert {name: settings.origin(name) for name in origins} == origins


def test_the_constructor_looks_at_the_process(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("PERFMW_MAX_PROFILES", "77")
    settings = Settings(apdex_t=0.25)
    assert (settings.apdex_t, settings.max_profiles, settings.layers) == (0.25, 77, ("b",))


def test_an_empty_variable_is_not_set() -> None:
    assert load(env={"PERFMW_LAYERS": "", "PERFMW_STATE_DIR": " "}).origin("layers") == "default"


def test_the_environment_spells_values_as_text() -> None:
    settings = load(
        env={
            "PERFMW_ENABLED": "No",
            "PERFMW_MEMORY_MAX_BYTES": "16MiB",
            "PERFMW_MEMORY_MAX_ENTRIES": "none",
            "PERFMW_COALESCE_TIMEOUT": "1m30s",
            "PERFMW_LAYERS": "memory, redis",
            "PERFMW_PLUGINS": "[]",
            "PERFMW_CACHE_RULES": '[{"path": "/a/**", "ttl": "5m", "vary": ["Accept-Language"]}]',
        }
    )
    assert settings.enabled is False
    assert settings.memory_max_bytes == 16 * 1024 * 1024
    assert settings.memory_max_entries is None
    assert settings.coalesce_timeout == 90.0
    assert settings.layers == ("memory", "redis")
    assert settings.plugins == ()
    assert settings.cache_rules == (CacheRule(path="/a/**", ttl=300, vary=["accept-language"]),)


def test_rules_are_an_array_of_tables_in_toml(tmp_path: Path) -> None:
    (tmp_path / "perfmw.toml").write_text('[[cache_rules]]\npath = "/items/*"\nttl = 60\ntags = ["items"]\n')
    assert load(tmp_path).cache_rules == (CacheRule(path="/items/*", ttl=60, tags=["items"]),)


def test_lists_become_tuples_and_settings_are_values() -> None:
    rule = CacheRule(path="/x", methods=["get", "head"], tags=["a", "a"], vary=["X-Tenant"])
    one, two = load(cache_rules=[rule]), load(cache_rules=(rule,))
    assert (rule.methods, rule.tags, rule.vary) == (("GET", "HEAD"), ("a",), ("x-tenant",))
    assert one == two
    assert hash(one) == hash(two)
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.enabled = False  # type: ignore[misc]


BAD_VALUES = [
    ("enabled", "perhaps", "true or false"),
    ("memory_max_bytes", "lots", '"64MiB"'),
    ("memory_max_bytes", 0, "at least 1"),
    ("memory_max_bytes", True, "at least 1"),
    ("memory_max_entries", 0, "at least 1"),
    ("max_body_bytes", -1, "0 or more"),
    ("heuristic_fraction", 1.5, "from 0 to 1"),
    ("heuristic_max", float("nan"), "0 or more"),
    ("coalesce_timeout", "soon", "5m"),
    ("apdex_t", 0, "more than 0"),
    ("layers", [], "at least one"),
    ("layers", ["memory", "memory"], "twice"),
    ("layers", {"memory": 1}, "a list of layer names"),
    ("plugins", ["no name!"], "is no name"),
    ("plugins", "[oops", "is not JSON"),
    ("optimization_level", "reckless", "basic, advanced, aggressive"),
    ("dashboard", "on", "off, loopback, token"),
    ("dashboard_path", "perfmw", 'starts with "/"'),
    ("dashboard_path", "/", 'starts with "/"'),
    ("dashboard_path", "/a/../b", 'starts with "/"'),
    ("eviction_policy", "", "name of an eviction policy"),
    ("state_dir", "a\nb", "path of a directory"),
    ("cache_rules", 7, "a list of cache rules"),
    ("cache_rules", [7], "rule 1: 7 is not a table"),
    ("cache_rules", [{"ttl": 1}], "path is missing"),
    ("cache_rules", [{"path": "/", "tll": 1}], "unknown key 'tll'; did you mean 'ttl'?"),
    ("cache_rules", [{"path": "/a"}, {"path": "a"}], "rule 2: path = 'a'"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD_VALUES)
def test_a_bad_value_is_named_with_its_origin_and_what_is_allowed(
    name: str, value: Any, allowed: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} = {value!r} (from keyword):")
    assert allowed in message


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ({"path": "items"}, 'starts with "/"'),
        ({"path": "/items?page=1"}, "without a query"),
        ({"path": "/", "ttl": -1}, "0 or more"),
        ({"path": "/", "methods": ["POST"]}, "GET and HEAD"),
        ({"path": "/", "methods": []}, "GET and HEAD"),
        ({"path": "/", "vary": ["Accept Language"]}, "request header names"),
        ({"path": "/", "vary": ["*"]}, "list the headers"),
        ({"path": "/", "tags": "items"}, "write a list: ['items']"),
        ({"path": "/", "tags": [""]}, "a list of tags"),
        ({"path": "/", "shared": "perhaps"}, "true or false"),
    ],
)
def test_a_bad_rule_names_its_field(rule: dict[str, Any], allowed: str) -> None:
    with pytest.raises(SettingsError, match=f"^{list(rule)[-1]} = ") as caught:
        CacheRule(**rule)
    assert allowed in str(caught.value)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(env={"PERFMW_APDEX_T": "-1"}, layers=[], max_profile=3)
    assert str(caught.value).splitlines() == [
        "unknown setting 'max_profile' (from keyword); did you mean 'max_profiles'?",
        "layers = [] (from keyword): allowed: a list of layer names, at least one",
        "apdex_t = '-1' (from env PERFMW_APDEX_T): allowed: more than 0 seconds, "
        'or a text such as "500ms", "5m" or "1h30m"',
    ]


def test_an_unknown_key_in_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.perfmw]\ncoalescing = true\n")
    with pytest.raises(
        SettingsError, match=r"'coalescing' \(from pyproject.toml .tool.perfmw.\); did you mean"
    ):
        load(tmp_path)


def test_an_unknown_variable_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    env = {
        "PERFMW_LAYER": "x",
        "PERFMW_TARGET": "a:b",
        "PERFMW_DEMO_SECONDS": "3",
        "PERFMW_DATA": "d",
        "HOME": "/",
    }
    with caplog.at_level(logging.WARNING):
        load(env=env)
    assert caplog.messages == [
        "unknown variable PERFMW_LAYER in the environment is ignored; did you mean 'PERFMW_LAYERS'?"
    ]


@pytest.mark.parametrize("name", ["perfmw.toml", "pyproject.toml"])
def test_malformed_toml_names_file_and_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("[tool.perfmw]\napdex_t = 1\nlayers = [\n  oops\n]\n")
    with pytest.raises(SettingsError, match=rf"{name}: .*line 4"):
        load(tmp_path)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "perfmw.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"perfmw\.toml: cannot be read"):
        load(tmp_path)


def test_a_tool_table_of_another_type_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nperfmw = 3\n")
    with pytest.raises(SettingsError, match=r"tool\.perfmw = 3; allowed: a table"):
        load(tmp_path)


def test_the_token_is_shown_nowhere() -> None:
    secret = "hunter2-hunter2"
    settings = load(dashboard_token=secret)
    shown = repr(settings) + str(settings) + json.dumps(settings.to_dict())
    with pytest.raises(SettingsError) as caught:
        load(dashboard_token=secret + "\n")
    assert secret not in shown + str(caught.value)
    assert settings.to_dict(redact=False)["dashboard_token"] == secret


def test_to_dict_is_json_and_loads_again() -> None:
    settings = load(cache_rules=[CacheRule(path="/a", ttl=1)], memory_max_entries=10)
    again = load(**json.loads(json.dumps(settings.to_dict(redact=False))))
    assert again == settings


def test_replace_keeps_the_origins_of_the_rest() -> None:
    settings = load(env={"PERFMW_LAYERS": "memory,disk"}).replace(apdex_t="250ms")
    assert (settings.apdex_t, settings.layers) == (0.25, ("memory", "disk"))
    assert settings.origin("apdex_t") == "keyword"
    assert settings.origin("layers") == "env PERFMW_LAYERS"
    with pytest.raises(SettingsError, match="unknown setting 'apdx_t'"):
        settings.replace(apdx_t=1)


@pytest.mark.parametrize(
    ("text", "size"),
    [("10", 10), ("1KiB", 1024), ("1kb", 1000), ("1.5 MiB", 1_572_864), ("2GiB", 2**31), ("3 B", 3)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1 XB", "1e3", "0x10", None, 1.5, True])
def test_sizes_that_are_none(text: object) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0.5", 0.5), ("500ms", 0.5), ("5m", 300), ("1h30m", 5400), ("1 d", 86_400), (7, 7)],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5 minutes", "1h30", "inf", "nan", None, True, [1]])
def test_durations_that_are_none(text: object) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@given(
    st.text(max_size=20) | st.integers() | st.floats() | st.none() | st.lists(st.text(max_size=3), max_size=3)
)
def test_any_value_is_taken_or_refused_with_a_settings_error(value: object) -> None:
    for name in ("memory_max_bytes", "apdex_t", "layers", "dashboard_path", "plugins", "cache_rules"):
        try:
            settings = load(**{name: value})
        except SettingsError as error:
            assert str(error).startswith(f"{name} = ")  # noqa: PT017 - both outcomes are right
        else:
            assert load(**{name: getattr(settings, name)}) == settings


def test_every_field_has_a_sentence() -> None:
    for field in dataclasses.fields(Settings):
        if field.init:
            assert field.metadata["doc"].endswith("."), field.name


def test_a_path_may_be_one_of_pathlib(tmp_path: Path) -> None:
    settings = Settings.load(env={}, cwd=tmp_path, disk_path=tmp_path / "c.db", state_dir=tmp_path / "state")
    assert (settings.disk_path, settings.state_dir) == (str(tmp_path / "c.db"), str(tmp_path / "state"))
