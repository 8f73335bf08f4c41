"""Plugins: found by entry point or handed over, checked, and asked once for what they name.

A plugin with a problem is named in one line of the log and left out whole; the others load, and the host
app starts. The rules:

- Built-ins come first, then installed plugins by name, then those passed in code. Of two that claim one
  name the later is left out, so nobody replaces a built-in by accident. Request hooks are asked in the
  opposite order: what the application passes in has the first say.
- ``Settings.plugins`` is an allow-list of installed plugins (by entry point name); one that is not on it
  is not even imported.
- Hooks are plain functions. A hook wrapper or a coroutine function is refused: perfmw answers for each
  plugin on its own, and calls none of them from an event loop it could block.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pluggy

from perfmw import hookspecs
from perfmw.contracts.protocols import API_VERSION
from perfmw.hookspecs import PROJECT
from perfmw.settings import Settings, SettingsError

if TYPE_CHECKING:
    import click
    from aiocache.base import BaseCache
    from pluggy import HookImpl

    from perfmw.contracts import (
        AlertChannel,
        Codec,
        DashboardPanel,
        EvictionPolicyFactory,
        Exporter,
        Optimizer,
        ResourcePool,
        TextExporter,
    )

log = logging.getLogger("perfmw.plugins")

ENTRY_POINT_GROUP = "perfmw"
BUILT_IN = "built-in"
INSTALLED = "installed"
ARGUMENT = "argument"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """Why ``plugin`` was left out, in a sentence."""

    plugin: str
    problem: str


@dataclass(slots=True)
class PluginInfo:
    """What is known of a plugin. ``origin``: built-in, installed, argument; ``registered``: kind -> names."""

    name: str
    origin: str
    distribution: str | None = None
    version: str | None = None
    active: bool = False
    hooks: list[str] = field(default_factory=list)
    registered: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        source = " ".join(part for part in (self.distribution, self.version) if part)
        return f"{self.name!r} ({source})" if source else repr(self.name)


class Registry(dict[str, _T], Generic[_T]):
    """What plugins named of one kind: name -> object; ``owners`` tells which plugin each came from."""

    def __init__(self, noun: str) -> None:
        super().__init__()
        self.noun = noun
        self.owners: dict[str, str] = {}


class _RefusedError(Exception):
    """The plugin at hand is left out, for the reason given."""


@dataclass(slots=True)
class _Candidate:
    info: PluginInfo
    load: Callable[[], object]


def _has(*names: str) -> Callable[[object], bool]:
    return lambda item: all(hasattr(item, name) for name in names)


def _is_exporter(item: object) -> bool:
    return _has("name", "export", "aclose")(item) or _has("name", "content_type", "render")(item)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of thing that plugins register: its hook, its noun, and what an item must be."""

    hook: str
    noun: str
    fits: Callable[[object], bool]
    wanted: str


_KINDS: dict[str, _Kind] = {
    "cache_layers": _Kind("perfmw_register_cache_layers", "cache layer", callable, "a factory"),
    "eviction_policies": _Kind(
        "perfmw_register_eviction_policies", "eviction policy", callable, "a factory that takes the capacity"
    ),
    "codecs": _Kind("perfmw_register_codecs", "codec", _has("name", "encode", "decode"), "a Codec"),
    "optimizers": _Kind(
        "perfmw_register_optimizers", "optimizer", _has("name", "propose", "apply", "revert"), "an Optimizer"
    ),
    "exporters": _Kind(
        "perfmw_register_exporters", "exporter", _is_exporter, "an Exporter or a TextExporter"
    ),
    "resource_pools": _Kind(
        "perfmw_register_resource_pools", "resource pool", _has("name", "sample"), "a ResourcePool"
    ),
    "alert_channels": _Kind(
        "perfmw_register_alert_channels", "alert channel", _has("name", "send"), "an AlertChannel"
    ),
    "panels": _Kind(
        "perfmw_register_dashboard_panels",
        "dashboard panel",
        _has("id", "title", "columns", "rows"),
        "a DashboardPanel",
    ),
}


class Plugins:
    """The plugins of one runtime, loaded at construction; there is no global state.

    ``extra`` are plugins passed in code, ``defaults`` is the object with perfmw's built-ins, and
    ``entry_points`` stands in for the installed ones. Plugins may be modules, instances or classes
    (which are called without arguments). Constructing never raises on account of a plugin.
    """

    cache_layers: Registry[Callable[[], BaseCache[Any]]]
    eviction_policies: Registry[EvictionPolicyFactory]
    codecs: Registry[Codec]
    optimizers: Registry[Optimizer]
    exporters: Registry[Exporter | TextExporter]
    resource_pools: Registry[ResourcePool]
    alert_channels: Registry[AlertChannel]
    panels: Registry[DashboardPanel]

    def __init__(
        self,
        settings: Settings,
        extra: Iterable[object] = (),
        *,
        defaults: object | None = None,
        entry_points: Iterable[metadata.EntryPoint] | None = None,
    ) -> None:
        self.settings = settings
        self.problems: list[PluginProblem] = []
        self.infos: list[PluginInfo] = []
        self.manager = _new_manager()
        self.hook = self.manager.hook
        self._failures: Counter[tuple[str, str]] = Counter()
        for kind, details in _KINDS.items():
            setattr(self, kind, Registry(details.noun))
        for candidate in self._candidates(extra, defaults, entry_points):
            self._load(candidate)
        self._impls: dict[str, list[HookImpl]] = {
            name: caller.get_hookimpls()[::-1] for name, caller in _callers(self.manager)
        }

    def has(self, hook: str) -> bool:
        """Whether any plugin implements a hook, so that a call nobody answers can be skipped."""
        return bool(self._impls.get(hook))

    def fire(self, event: str, **arguments: Any) -> None:
        """Call an event's hook in every plugin; an exception is logged, not raised."""
        for impl in self._impls[event]:
            try:
                _call(impl, arguments)
            except Exception as error:
                self._log_failure(impl, event, error)

    def ask(self, hook: str, *, on_error: Any = None, **arguments: Any) -> Any:
        """The first answer that is not None. A plugin that raises is logged and answers ``on_error``."""
        for impl in self._impls[hook]:
            try:
                answer = _call(impl, arguments)
            except Exception as error:
                self._log_failure(impl, hook, error)
                answer = on_error
            if answer is not None:
                return answer
        return None

    def choose(self, kind: str, name: str, *, setting: str) -> Any:
        """What a setting names, such as ``choose("eviction_policies", "lru", setting="eviction_policy")``.

        Raises SettingsError that names the setting, its origin and the names there are.
        """
        registry: Registry[Any] = getattr(self, kind)
        if name in registry:
            return registry[name]
        close = difflib.get_close_matches(name, registry, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise SettingsError(
            f"{setting} = {name!r} (from {self.settings.origin(setting)}): "
            f"there is no such {registry.noun}; allowed: {', '.join(sorted(registry)) or 'none'}{hint}"
        )

    def register_commands(self, cli: click.Group) -> None:
        """Let each plugin add commands; one that replaces a command there already is undone and named."""
        for impl in self._impls["perfmw_register_commands"]:
            before = dict(cli.commands)
            try:
                _call(impl, {"cli": cli})
            except Exception as error:
                cli.commands.clear()
                cli.commands.update(before)
                self._log_failure(impl, "perfmw_register_commands", error)
            self._keep_commands(cli, before, impl.plugin_name)

    def describe(self) -> list[PluginInfo]:
        """Every plugin that was found, those left out too, in the order they were loaded."""
        for info in self.infos:
            if info.origin == BUILT_IN and info.version is None:
                info.version = _version("perfmw")
        return list(self.infos)

    def _keep_commands(self, cli: click.Group, before: Mapping[str, click.Command], plugin: str) -> None:
        for name, command in before.items():
            if cli.commands.get(name) is not command:
                cli.commands[name] = command
                self._report(self._info(plugin), f"the command {name!r} is taken; it stays as it was")

    def _info(self, name: str) -> PluginInfo:
        return next(info for info in self.infos if info.name == name)

    def _log_failure(self, impl: HookImpl, hook: str, error: Exception) -> None:
        """Log the 1st, 10th, 100th … failure of a hook: a broken request hook must not fill the log."""
        self._failures[impl.plugin_name, hook] += 1
        count = self._failures[impl.plugin_name, hook]
        if str(count).strip("0") == "1":
            times = f" ({count} times)" if count > 1 else ""
            log.error("plugin %r failed in %s%s: %s", impl.plugin_name, hook, times, error, exc_info=error)

    def _report(self, info: PluginInfo, problem: str) -> None:
        info.problems.append(problem)
        self.problems.append(PluginProblem(info.name, problem))
        log.error("plugin %s: %s", info, problem)

    def _candidates(
        self,
        extra: Iterable[object],
        defaults: object | None,
        entry_points: Iterable[metadata.EntryPoint] | None,
    ) -> Iterator[_Candidate]:
        if defaults is not None:
            yield _Candidate(PluginInfo(BUILT_IN, BUILT_IN, "perfmw"), lambda: defaults)
        if entry_points is not None or self.settings.plugins is None or self.settings.plugins:
            yield from self._installed(entry_points)
        for plugin in extra:
            info = PluginInfo(self._free_name(_name_of(plugin)), ARGUMENT, version=_own_version(plugin))
            yield _Candidate(info, _constant(plugin))

    def _installed(self, entry_points: Iterable[metadata.EntryPoint] | None) -> Iterator[_Candidate]:
        allowed = self.settings.plugins
        found = metadata.entry_points(group=ENTRY_POINT_GROUP) if entry_points is None else entry_points
        points = sorted(found, key=lambda point: point.name)
        for point in points:
            if allowed is None or point.name in allowed:
                dist = point.dist
                info = PluginInfo(
                    point.name, INSTALLED, dist.name if dist else None, dist.version if dist else None
                )
                yield _Candidate(info, point.load)
        for name in allowed or ():
            if name not in {point.name for point in points}:
                self._missing(name, [point.name for point in points])

    def _missing(self, name: str, installed: Sequence[str]) -> None:
        info = PluginInfo(name, INSTALLED)
        self.infos.append(info)
        there = f"installed: {', '.join(installed) or 'none'}"
        self._report(info, f"no plugin of that name is installed, but `plugins` lists it; {there}")

    def _free_name(self, name: str) -> str:
        """Two instances of one class passed in code are two plugins."""
        taken = {info.name for info in self.infos}
        numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
        return name if name not in taken else next(free for free in numbered if free not in taken)

    def _load(self, candidate: _Candidate) -> None:
        info = candidate.info
        try:
            self._refuse_taken_name(info)
            plugin = _built(candidate.load)
            if self.manager.is_registered(plugin):
                return  # installed, and passed in code as well
            self.infos.append(info)
            info.hooks = _checked_hooks(plugin)
            self.manager.register(plugin, info.name)
            self._register(plugin, info)
            info.active = True
        except _RefusedError as refusal:
            if not any(info is known for known in self.infos):
                self.infos.append(info)
            self._report(info, f"left out: {refusal}")

    def _refuse_taken_name(self, info: PluginInfo) -> None:
        for other in self.infos:
            if other.name == info.name:
                raise _RefusedError(f"its name is taken by plugin {other}")

    def _register(self, plugin: object, info: PluginInfo) -> None:
        """Ask for everything before taking anything, so that a failing plugin leaves nothing behind."""
        try:
            offers = {kind: self._offer(plugin, kind, info) for kind in _KINDS}
        except _RefusedError:
            self.manager.unregister(plugin)
            raise
        for kind, offer in offers.items():
            registry: Registry[Any] = getattr(self, kind)
            registry.update(offer)
            registry.owners.update(dict.fromkeys(offer, info.name))
            if offer:
                info.registered[kind] = sorted(offer)

    def _offer(self, plugin: object, kind: str, info: PluginInfo) -> dict[str, Any]:
        details, registry = _KINDS[kind], getattr(self, kind)
        offer: dict[str, Any] = {}
        for impl in _impls_of(plugin, self.manager, details.hook):
            offer.update(_answer(impl, details, self.settings))
        for name in offer:
            if name in registry:
                owner = self._info(registry.owners[name])
                raise _RefusedError(f"the {details.noun} {name!r} is taken by plugin {owner}")
        return offer


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _callers(manager: pluggy.PluginManager) -> Iterator[tuple[str, pluggy.HookCaller]]:
    for name in vars(hookspecs):
        if name.startswith(f"{PROJECT}_"):
            yield name, getattr(manager.hook, name)


def _impls_of(plugin: object, manager: pluggy.PluginManager, hook: str) -> list[HookImpl]:
    return [impl for impl in getattr(manager.hook, hook).get_hookimpls() if impl.plugin is plugin]


def _call(impl: HookImpl, arguments: Mapping[str, Any]) -> Any:
    return impl.function(*[arguments[name] for name in impl.argnames])


def _constant(plugin: object) -> Callable[[], object]:
    return lambda: plugin


def _name_of(plugin: object) -> str:
    if isinstance(plugin, ModuleType):
        return plugin.__name__
    kind = plugin if isinstance(plugin, type) else type(plugin)
    return f"{kind.__module__}.{kind.__qualname__}"


def _own_version(plugin: object) -> str | None:
    version = getattr(plugin, "__version__", None)
    return version if isinstance(version, str) else None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _in_words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _built(load: Callable[[], object]) -> object:
    try:
        plugin = load()
        return plugin() if isinstance(plugin, type) else plugin
    except (Exception, SystemExit) as error:
        log.debug("a plugin raised while it was loaded", exc_info=error)
        raise _RefusedError(f"it raised while it was loaded: {_in_words(error)}") from error


def _checked_hooks(plugin: object) -> list[str]:
    """The hooks a plugin implements, found on a manager of its own, where a failure harms nobody."""
    wanted = getattr(plugin, "perfmw_api_version", API_VERSION)
    if wanted != API_VERSION:
        raise _RefusedError(f"it asks for plugin API {wanted!r}; this perfmw speaks {API_VERSION}")
    scratch = _new_manager()
    try:
        _refuse_unmarked(plugin)
        scratch.register(plugin)
        scratch.check_pending()
    except pluggy.PluginValidationError as error:
        raise _RefusedError(_validation_problem(plugin, error)) from error
    except _RefusedError:
        raise
    except Exception as error:
        raise _RefusedError(f"it raised while it was examined: {_in_words(error)}") from error
    hooks = [name for name, _ in _callers(scratch) if _impls_of(plugin, scratch, name)]
    for name in hooks:
        _refuse_unusual(scratch, plugin, name)
    return hooks


def _refuse_unmarked(plugin: object) -> None:
    """Functions named like hooks that pluggy would overlook."""
    for name in dir(plugin):
        if not name.startswith(f"{PROJECT}_"):
            continue
        function = getattr(plugin, name, None)
        if inspect.isroutine(function) and not hasattr(function, f"{PROJECT}_impl"):
            hint = "" if hasattr(hookspecs, name) else f", and {_no_such_hook(name)}"
            raise _RefusedError(f"{name} is not marked with @perfmw.hookimpl{hint}")


def _no_such_hook(name: str) -> str:
    known = [name for name in vars(hookspecs) if name.startswith(f"{PROJECT}_")]
    close = difflib.get_close_matches(name, known, n=1)
    return f"there is no hook {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")


def _validation_problem(plugin: object, error: pluggy.PluginValidationError) -> str:
    for name in dir(plugin):
        if hasattr(getattr(plugin, name, None), f"{PROJECT}_impl") and not hasattr(hookspecs, name):
            return _no_such_hook(name)
    return " ".join(str(error).split())


def _refuse_unusual(manager: pluggy.PluginManager, plugin: object, hook: str) -> None:
    for impl in _impls_of(plugin, manager, hook):
        if impl.hookwrapper or impl.wrapper:
            raise _RefusedError(f"{hook} is a hook wrapper; perfmw takes plain functions")
        if inspect.iscoroutinefunction(impl.function):
            raise _RefusedError(f"{hook} is a coroutine function; perfmw takes plain functions")


def _answer(impl: HookImpl, kind: _Kind, settings: Settings) -> dict[str, Any]:
    try:
        answer = _call(impl, {"settings": settings})
        named = _by_id(answer) if kind.hook == "perfmw_register_dashboard_panels" else answer
    except (Exception, SystemExit) as error:
        log.debug("a plugin raised in %s", kind.hook, exc_info=error)
        raise _RefusedError(f"{kind.hook} raised: {_in_words(error)}") from error
    if named is None:
        return {}
    if not isinstance(named, Mapping):
        raise _RefusedError(f"{kind.hook} returned {type(answer).__name__}, not a mapping of names")
    for name, item in named.items():
        _refuse_misfit(name, item, kind)
    return dict(named)


def _by_id(panels: Iterable[DashboardPanel] | None) -> dict[str, DashboardPanel]:
    named: dict[str, DashboardPanel] = {}
    for panel in panels or ():
        if panel.id in named:
            raise ValueError(f"two panels have the id {panel.id!r}")
        named[panel.id] = panel
    return named


def _refuse_misfit(name: object, item: object, kind: _Kind) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _RefusedError(f"{kind.hook} names a {kind.noun} {name!r}; names are letters, digits and . _ -")
    if not kind.fits(item):
        raise _RefusedError(f"{kind.hook}: the {kind.noun} {name!r} is not {kind.wanted}, but {item!r:.80}")
