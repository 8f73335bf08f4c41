"""Examining a plugin: it is loaded, its hooks are checked, and it is asked for what it registers."""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from perfmw import hookspecs
from perfmw.contracts.protocols import API_VERSION
from perfmw.hookspecs import PROJECT
from perfmw.plugins.registry import NAME, Kind
from perfmw.settings import Settings

if TYPE_CHECKING:
    from pluggy import HookImpl

    from perfmw.contracts import DashboardPanel

log = logging.getLogger("perfmw.plugins")


class RefusedError(Exception):
    """The plugin at hand is left out, for the reason given."""


def new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def callers(manager: pluggy.PluginManager) -> Iterator[tuple[str, pluggy.HookCaller]]:
    for name in vars(hookspecs):
        if name.startswith(f"{PROJECT}_"):
            yield name, getattr(manager.hook, name)


def impls_of(plugin: object, manager: pluggy.PluginManager, hook: str) -> list[HookImpl]:
    return [impl for impl in getattr(manager.hook, hook).get_hookimpls() if impl.plugin is plugin]


def call(impl: HookImpl, arguments: Mapping[str, Any]) -> Any:
    return impl.function(*[arguments[name] for name in impl.argnames])


def _in_words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def build(load: Callable[[], object]) -> object:
    try:
        plugin = load()
        return plugin() if isinstance(plugin, type) else plugin
    except (Exception, SystemExit) as error:
        log.debug("a plugin raised while it was loaded", exc_info=error)
        raise RefusedError(f"it raised while it was loaded: {_in_words(error)}") from error


def checked_hooks(plugin: object) -> list[str]:
    """The hooks a plugin implements, found on a manager of its own, where a failure harms nobody."""
    wanted = getattr(plugin, "perfmw_api_version", API_VERSION)
    if wanted != API_VERSION:
        raise RefusedError(f"it asks for plugin API {wanted!r}; this perfmw speaks {API_VERSION}")
    scratch = new_manager()
    try:
        _refuse_unmarked(plugin)
        scratch.register(plugin)
        scratch.check_pending()
    except pluggy.PluginValidationError as error:
        raise RefusedError(_validation_problem(plugin, error)) from error
    except RefusedError:
        raise
    except Exception as error:
        raise RefusedError(f"it raised while it was examined: {_in_words(error)}") from error
    hooks = [name for name, _ in callers(scratch) if impls_of(plugin, scratch, name)]
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
            raise RefusedError(f"{name} is not marked with @perfmw.hookimpl{hint}")


def _no_such_hook(name: str) -> str:
    known = [name for name in vars(hookspecs) if name.startswith(f"{PROJECT}_")]
    close = difflib.get_close_matches(name, known, n=1)
    return f"there is no hook {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")


def _validation_problem(plugin: object, error: pluggy.PluginValidationError) -> str:
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        if not hasattr(function, f"{PROJECT}_impl") or not callable(function):
            continue
        if not hasattr(hookspecs, name):
            return _no_such_hook(name)
        offered = inspect.signature(getattr(hookspecs, name)).parameters
        foreign = [argument for argument in inspect.signature(function).parameters if argument not in offered]
        if foreign:
            return f"{name} asks for {', '.join(foreign)}; the hook offers: {', '.join(offered)}"
    return " ".join(str(error).split())


def _refuse_unusual(manager: pluggy.PluginManager, plugin: object, hook: str) -> None:
    for impl in impls_of(plugin, manager, hook):
        if impl.hookwrapper or impl.wrapper:
            raise RefusedError(f"{hook} is a hook wrapper; perfmw takes plain functions")
        if inspect.iscoroutinefunction(impl.function):
            raise RefusedError(f"{hook} is a coroutine function; perfmw takes plain functions")


def registrations(impl: HookImpl, kind: Kind, settings: Settings) -> dict[str, Any]:
    try:
        answer = call(impl, {"settings": settings})
        named = _by_id(answer) if kind.hook == "perfmw_register_dashboard_panels" else answer
    except (Exception, SystemExit) as error:
        log.debug("a plugin raised in %s", kind.hook, exc_info=error)
        raise RefusedError(f"{kind.hook} raised: {_in_words(error)}") from error
    if named is None:
        return {}
    if not isinstance(named, Mapping):
        raise RefusedError(f"{kind.hook} returned {type(answer).__name__}, not a mapping of names")
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


def _refuse_misfit(name: object, item: object, kind: Kind) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise RefusedError(f"{kind.hook} names a {kind.noun} {name!r}; names are letters, digits and . _ -")
    if not kind.fits(item):
        raise RefusedError(f"{kind.hook}: the {kind.noun} {name!r} is not {kind.wanted}, but {item!r:.80}")
