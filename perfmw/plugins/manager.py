"""The plugin manager of one runtime."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any

from perfmw.plugins.examination import (
    RefusedError,
    build,
    call,
    callers,
    checked_hooks,
    impls_of,
    log,
    new_manager,
    registrations,
)
from perfmw.plugins.registry import ARGUMENT, BUILT_IN, INSTALLED, KINDS, PluginInfo, PluginProblem, Registry
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
        Purger,
        ResourcePool,
        TextExporter,
    )

ENTRY_POINT_GROUP = "perfmw"


@dataclass(slots=True)
class _Candidate:
    info: PluginInfo
    load: Callable[[], object]


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
    purgers: Registry[Purger]
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
        self.manager = new_manager()
        self.hook = self.manager.hook
        self._failures: Counter[tuple[str, str]] = Counter()
        for kind, details in KINDS.items():
            setattr(self, kind, Registry(details.noun))
        for candidate in self._candidates(extra, defaults, entry_points):
            self._load(candidate)
        self._impls: dict[str, list[HookImpl]] = {
            name: caller.get_hookimpls()[::-1] for name, caller in callers(self.manager)
        }

    def has(self, hook: str) -> bool:
        """Whether any plugin implements a hook, so that a call nobody answers can be skipped."""
        return bool(self._impls.get(hook))

    def fire(self, event: str, **arguments: Any) -> None:
        """Call an event's hook in every plugin; an exception is logged, not raised."""
        for impl in self._impls[event]:
            try:
                call(impl, arguments)
            except Exception as error:
                self._log_failure(impl, event, error)

    def ask(self, hook: str, *, on_error: Any = None, **arguments: Any) -> Any:
        """The first answer that is not None. A plugin that raises is logged and answers ``on_error``."""
        for impl in self._impls[hook]:
            try:
                answer = call(impl, arguments)
            except Exception as error:
                self._log_failure(impl, hook, error)
                answer = on_error
            if answer is not None:
                return answer
        return None

    def forbids(self, hook: str, **arguments: Any) -> bool:
        """Whether any plugin answers False; one that raises does, too."""
        answers = [self._answer(impl, hook, arguments) for impl in self._impls[hook]]
        return any(answer is False for answer in answers)

    def _answer(self, impl: HookImpl, hook: str, arguments: Mapping[str, Any]) -> Any:
        try:
            return call(impl, arguments)
        except Exception as error:
            self._log_failure(impl, hook, error)
            return False

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
                call(impl, {"cli": cli})
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
            plugin = build(candidate.load)
            if self.manager.is_registered(plugin):
                return  # installed, and passed in code as well
            self.infos.append(info)
            info.hooks = checked_hooks(plugin)
            self.manager.register(plugin, info.name)
            self._register(plugin, info)
            info.active = True
        except RefusedError as refusal:
            if not any(info is known for known in self.infos):
                self.infos.append(info)
            self._report(info, f"left out: {refusal}")

    def _refuse_taken_name(self, info: PluginInfo) -> None:
        for other in self.infos:
            if other.name == info.name:
                raise RefusedError(f"its name is taken by plugin {other}")

    def _register(self, plugin: object, info: PluginInfo) -> None:
        """Ask for everything before taking anything, so that a failing plugin leaves nothing behind."""
        try:
            offers = {kind: self._offer(plugin, kind, info) for kind in KINDS}
        except RefusedError:
            self.manager.unregister(plugin)
            raise
        for kind, offer in offers.items():
            registry: Registry[Any] = getattr(self, kind)
            registry.update(offer)
            registry.owners.update(dict.fromkeys(offer, info.name))
            if offer:
                info.registered[kind] = sorted(offer)

    def _offer(self, plugin: object, kind: str, info: PluginInfo) -> dict[str, Any]:
        details, registry = KINDS[kind], getattr(self, kind)
        offer: dict[str, Any] = {}
        for impl in impls_of(plugin, self.manager, details.hook):
            offer.update(registrations(impl, details, self.settings))
        for name in offer:
            if name in registry:
                owner = self._info(registry.owners[name])
                raise RefusedError(f"the {details.noun} {name!r} is taken by plugin {owner}")
        return offer


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
