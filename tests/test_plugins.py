"""Plugins: who loads, who is left out and why, and what calling them does."""

from __future__ import annotations

import logging
import types
from collections.abc import Mapping
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any

import click
import pytest

from perfmw.contracts import DashboardPanel
from perfmw.hookspecs import hookimpl
from perfmw.plugins import Plugins
from perfmw.settings import Settings, SettingsError


class Policies:
    def __init__(self, *names: str) -> None:
        self.names = names

    @hookimpl
    def perfmw_register_eviction_policies(self, settings: Settings) -> Mapping[str, Any]:
        return dict.fromkeys(self.names, dict)


class BuiltIn(Policies):
    def __init__(self) -> None:
        super().__init__("lru")


class Codec:
    name = "upper"

    def encode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        return data.upper()

    def decode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        return data.lower()


def plugins(*extra: object, allowed: list[str] | None = None, points: Any = ()) -> Plugins:
    settings = Settings.load(env={}, cwd="/nonexistent", plugins=allowed)
    return Plugins(settings, extra, defaults=BuiltIn(), entry_points=points)


def problems(loaded: Plugins) -> list[str]:
    return [problem.problem for problem in loaded.problems]


class Installed(Distribution):
    """A distribution that exists in this test alone."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read_text(self, filename: str) -> str | None:
        return (
            f"Metadata-Version: 2.1\nName: {self._name}\nVersion: 1.2\n" if filename == "METADATA" else None
        )

    def locate_file(self, path: Any) -> Any:
        return Path(path)


class Point(EntryPoint):
    """An entry point whose object is given, or is an exception to raise; it records its loading."""

    def load(self) -> Any:
        vars(self)["loaded"] = True
        target = vars(self)["target"]
        if isinstance(target, BaseException):
            raise target
        return target


def point(name: str, target: object, distribution: str = "some-dist") -> Point:
    made = Point(name, "module", "perfmw")
    vars(made).update(target=target, dist=Installed(distribution), loaded=False)
    return made


def test_modules_instances_and_classes_register() -> None:
    class AsClass(Policies):
        def __init__(self) -> None:
            super().__init__("a")

    module = types.ModuleType("as_module")
    module.__dict__["perfmw_register_eviction_policies"] = hookimpl(
        lambda settings: {"c": dict}, specname="perfmw_register_eviction_policies"
    )
    loaded = plugins(AsClass, Policies("b"), module)
    assert loaded.problems == []
    assert list(loaded.eviction_policies) == ["lru", "a", "b", "c"]
    assert loaded.eviction_policies.owners["c"] == "as_module"
    assert loaded.eviction_policies.owners["lru"] == "built-in"


def test_every_kind_is_kept_with_its_owner() -> None:
    class Everything:
        @hookimpl
        def perfmw_register_codecs(self, settings: Settings) -> Mapping[str, Any]:
            return {"upper": Codec()}

        @hookimpl
        def perfmw_register_dashboard_panels(self, settings: Settings) -> list[DashboardPanel]:
            return [DashboardPanel("jobs", "Jobs", ("name",), lambda: [("one",)])]

    loaded = plugins(Everything)
    assert loaded.problems == []
    assert loaded.codecs["upper"].encode(b"a", {}) == b"A"
    assert loaded.panels["jobs"].title == "Jobs"
    assert loaded.describe()[-1].registered == {"codecs": ["upper"], "panels": ["jobs"]}


def test_two_managers_share_nothing() -> None:
    one, two = plugins(Policies("mine")), plugins()
    assert "mine" in one.eviction_policies
    assert "mine" not in two.eviction_policies
    assert one.manager is not two.manager


class Misspelt:
    @hookimpl
    def perfmw_sartup(self, runtime: Any) -> None: ...


class Unmarked:
    def perfmw_startup(self, runtime: Any) -> None: ...


class UnmarkedAndMisspelt:
    def perfmw_startp(self, runtime: Any) -> None: ...


class WrongSignature:
    @hookimpl
    def perfmw_alert(self, alarm: Any) -> None: ...


class Coroutine:
    @hookimpl
    async def perfmw_startup(self, runtime: Any) -> None: ...


class Wrapper:
    @hookimpl(wrapper=True)
    def perfmw_startup(self, runtime: Any) -> Any:
        return (yield)


class Raises:
    def __init__(self) -> None:
        raise RuntimeError("boom\nand more")


class RaisesInHook:
    @hookimpl
    def perfmw_register_eviction_policies(self, settings: Settings) -> Mapping[str, Any]:
        return {"kept-out": dict}

    @hookimpl
    def perfmw_register_exporters(self, settings: Settings) -> Mapping[str, Any]:
        raise KeyError("no such host")


class OtherVersion:
    perfmw_api_version = 2


class NotAMapping:
    @hookimpl
    def perfmw_register_codecs(self, settings: Settings) -> Any:
        return ["zlib"]


class NotACodec:
    @hookimpl
    def perfmw_register_codecs(self, settings: Settings) -> Any:
        return {"zlib": 7}


class BadName:
    @hookimpl
    def perfmw_register_codecs(self, settings: Settings) -> Any:
        return {"z lib": Codec()}


class TwoPanels:
    @hookimpl
    def perfmw_register_dashboard_panels(self, settings: Settings) -> Any:
        return [DashboardPanel("same", "", (), list), DashboardPanel("same", "", (), list)]


class RaisingProperty:
    @property
    def perfmw_state(self) -> str:
        raise RuntimeError("not connected")


BROKEN = [
    (Misspelt, "there is no hook 'perfmw_sartup'; did you mean 'perfmw_startup'?"),
    (Unmarked, "perfmw_startup is not marked with @perfmw.hookimpl"),
    (UnmarkedAndMisspelt, "perfmw_startp is not marked with @perfmw.hookimpl, and there is no hook"),
    (WrongSignature, "perfmw_alert asks for alarm; the hook offers: alert"),
    (Coroutine, "perfmw_startup is a coroutine function"),
    (Wrapper, "perfmw_startup is a hook wrapper"),
    (Raises, "it raised while it was loaded: RuntimeError: boom"),
    (RaisesInHook, "perfmw_register_exporters raised: KeyError: 'no such host'"),
    (OtherVersion, "it asks for plugin API 2; this perfmw speaks 1"),
    (NotAMapping, "perfmw_register_codecs returned list, not a mapping"),
    (NotACodec, "the codec 'zlib' is not a Codec, but 7"),
    (BadName, "names a codec 'z lib'"),
    (TwoPanels, "two panels have the id 'same'"),
    (RaisingProperty, "it raised while it was examined: RuntimeError: not connected"),
    (Policies("lru"), "the eviction policy 'lru' is taken by plugin 'built-in' (perfmw)"),
]


@pytest.mark.parametrize(("broken", "problem"), BROKEN)
def test_a_broken_plugin_is_named_and_left_out_alone(
    broken: object, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = plugins(Policies("before"), broken, Policies("after"))
    assert len(loaded.problems) == 1
    assert problem in loaded.problems[0].problem
    assert list(loaded.eviction_policies) == ["lru", "before", "after"]
    [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert loaded.problems[0].plugin in line.getMessage()
    assert "\n" not in line.getMessage()
    assert line.exc_info is None
    [info] = [info for info in loaded.describe() if not info.active]
    assert info.problems == [loaded.problems[0].problem]
    assert not loaded.has("perfmw_startup")


def test_installed_plugins_are_found_by_entry_point() -> None:
    loaded = plugins(points=[point("twoq", Policies("twoq"), "perfmw-twoq")])
    info = loaded.describe()[-1]
    assert (info.name, info.origin, info.distribution, info.version) == (
        "twoq",
        "installed",
        "perfmw-twoq",
        "1.2",
    )
    assert info.hooks == ["perfmw_register_eviction_policies"]
    assert loaded.eviction_policies.owners["twoq"] == "twoq"


def test_the_allow_list_decides_who_is_imported() -> None:
    wanted, unwanted = point("wanted", Policies("a")), point("unwanted", SystemExit("imported"))
    loaded = plugins(Policies("mine"), allowed=["wanted"], points=[wanted, unwanted])
    assert list(loaded.eviction_policies) == ["lru", "a", "mine"]
    assert vars(unwanted)["loaded"] is False
    assert loaded.problems == []


def test_a_listed_plugin_that_is_not_installed_is_named() -> None:
    loaded = plugins(allowed=["redis"], points=[point("twoq", Policies("a"))])
    assert problems(loaded) == [
        "no plugin of that name is installed, but `plugins` lists it; installed: twoq",
    ]


@pytest.mark.parametrize("error", [ImportError("No module named 'x'"), SystemExit(3), SyntaxError("bad")])
def test_a_plugin_that_raises_at_import_is_left_out(error: BaseException) -> None:
    loaded = plugins(points=[point("broken", error), point("good", Policies("a"))])
    assert problems(loaded)[0].startswith(f"left out: it raised while it was loaded: {type(error).__name__}")
    assert "a" in loaded.eviction_policies


def test_two_plugins_claiming_one_name_are_both_named() -> None:
    loaded = plugins(points=[point("p1", Policies("x", "y"), "one"), point("p2", Policies("y", "z"), "two")])
    assert str(loaded.describe()[-1]) == "'p2' (two 1.2)"
    assert problems(loaded) == ["left out: the eviction policy 'y' is taken by plugin 'p1' (one 1.2)"]
    assert list(loaded.eviction_policies) == ["lru", "x", "y"]


def test_two_distributions_with_one_entry_point_name_are_both_named() -> None:
    loaded = plugins(points=[point("same", Policies("x"), "one"), point("same", Policies("y"), "two")])
    assert problems(loaded) == ["left out: its name is taken by plugin 'same' (one 1.2)"]


def test_an_installed_plugin_passed_in_code_too_loads_once() -> None:
    plugin = Policies("x")
    loaded = plugins(plugin, points=[point("x", plugin)])
    assert loaded.problems == []
    assert [info.name for info in loaded.describe()] == ["built-in", "x"]


def test_two_instances_of_a_class_are_two_plugins() -> None:
    loaded = plugins(Policies("x"), Policies("y"))
    assert loaded.problems == []
    assert loaded.describe()[-1].name == loaded.describe()[-2].name + "-2"


class Recorder:
    def __init__(self, answer: str | None = None, error: Exception | None = None) -> None:
        self.answer, self.error = answer, error
        self.seen: list[Any] = []

    @hookimpl
    def perfmw_cache_key(self, request: Any) -> str | None:
        if self.error:
            raise self.error
        return self.answer

    @hookimpl
    def perfmw_invalidated(self, tags: Any) -> None:
        self.seen.append(tags)
        if self.error:
            raise self.error


def test_an_event_reaches_every_plugin_though_one_raises(caplog: pytest.LogCaptureFixture) -> None:
    recorders = [Recorder(), Recorder(error=ValueError("down")), Recorder()]
    loaded = plugins(*recorders)
    loaded.fire("perfmw_invalidated", keys=(), tags=("a",))
    assert [recorder.seen for recorder in recorders] == [[("a",)]] * 3
    assert "failed in perfmw_invalidated: down" in caplog.text


def test_the_application_has_the_first_say_and_none_passes_on() -> None:
    assert plugins(Recorder("first"), Recorder("last")).ask("perfmw_cache_key", request=1) == "last"
    assert plugins(Recorder("first"), Recorder(None)).ask("perfmw_cache_key", request=1) == "first"
    assert plugins(Recorder(None)).ask("perfmw_cache_key", request=1) is None


def test_a_request_hook_that_raises_answers_what_the_caller_says() -> None:
    loaded = plugins(Recorder("fallback"), Recorder(error=ValueError("down")))
    assert loaded.ask("perfmw_cache_key", request=1) == "fallback"
    assert loaded.ask("perfmw_cache_key", request=1, on_error="") == ""


def test_a_hook_that_always_fails_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    loaded = plugins(Recorder(error=ValueError("down")))
    for _ in range(150):
        loaded.ask("perfmw_cache_key", request=1)
    assert len(caplog.records) == 3
    assert "(100 times)" in caplog.records[-1].getMessage()


def test_hooks_nobody_implements_can_be_skipped() -> None:
    assert plugins(Recorder()).has("perfmw_cache_key")
    assert not plugins(Recorder()).has("perfmw_should_cache")
    assert plugins().ask("perfmw_cache_key", request=1) is None


def test_choose_names_the_setting_its_origin_and_the_choices() -> None:
    settings = Settings.load(env={"PERFMW_EVICTION_POLICY": "lur"}, cwd="/nonexistent", plugins=[])
    loaded = Plugins(settings, [Policies("lru", "sieve")])
    assert loaded.choose("eviction_policies", "sieve", setting="eviction_policy") is dict
    with pytest.raises(SettingsError) as caught:
        loaded.choose("eviction_policies", settings.eviction_policy, setting="eviction_policy")
    assert str(caught.value) == (
        "eviction_policy = 'lur' (from env PERFMW_EVICTION_POLICY): there is no such eviction policy; "
        "allowed: lru, sieve; did you mean 'lru'?"
    )


class Commands:
    def __init__(self, *names: str, error: Exception | None = None) -> None:
        self.names, self.error = names, error

    @hookimpl
    def perfmw_register_commands(self, cli: click.Group) -> None:
        for name in self.names:
            cli.add_command(click.Command(name))
        if self.error:
            raise self.error


def test_a_plugin_adds_commands_and_replaces_none() -> None:
    cli = click.Group("perfmw")
    own = click.Command("run")
    cli.add_command(own)
    loaded = plugins(Commands("fly"), Commands("run", "swim"), Commands("half", error=ValueError("down")))
    loaded.register_commands(cli)
    assert sorted(cli.commands) == ["fly", "run", "swim"]
    assert cli.commands["run"] is own
    assert problems(loaded) == ["the command 'run' is taken; it stays as it was"]
