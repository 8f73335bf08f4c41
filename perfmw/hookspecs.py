"""Every hook of perfmw. A plugin implements the ones it needs, marked with ``perfmw.hookimpl``.

A plugin is any object with hook implementations (most often a module). It reaches perfmw by the entry
point group ``perfmw`` of an installed package, or by ``PerfMiddleware(app, plugins=[my_plugin])``.
Registration hooks fire once, while a Runtime is built. Request hooks fire for each request that misses
the fast path, and are skipped entirely when no plugin implements them. Events fire when they happen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click
    from aiocache.base import BaseCache

    from perfmw.contracts import (
        Alert,
        AlertChannel,
        AppliedOptimization,
        Codec,
        DashboardPanel,
        EvictionPolicyFactory,
        Exporter,
        Optimizer,
        Purger,
        ResourcePool,
        ScaleAdvice,
        TextExporter,
    )
    from perfmw.settings import Settings

PROJECT = "perfmw"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def perfmw_register_cache_layers(settings: Settings) -> Mapping[str, Callable[[], BaseCache[Any]]]:
    """Name cache layers that ``Settings.layers`` may list.

    Fires once, at build.

    :param settings: the settings of the runtime being built.
    :return: layer name -> factory of an ``aiocache.base.BaseCache``.

    Example::

        @hookimpl
        def perfmw_register_cache_layers(settings):
            return {"redis": lambda: RedisCache(endpoint="cache.internal")}
    """


@hookspec
def perfmw_register_eviction_policies(settings: Settings) -> Mapping[str, EvictionPolicyFactory]:
    """Name eviction policies that ``Settings.eviction_policy`` may choose.

    Fires once, at build.

    :param settings: the settings of the runtime being built.
    :return: policy name -> factory taking the capacity (entries or bytes).

    Example::

        @hookimpl
        def perfmw_register_eviction_policies(settings):
            return {"twoq": TwoQPolicy}
    """


@hookspec
def perfmw_register_codecs(settings: Settings) -> Mapping[str, Codec]:
    """Name codecs (compression, encryption) for entries that leave the process.

    Fires once, at build.

    :param settings: the settings of the runtime being built.
    :return: codec name -> codec.

    Example::

        @hookimpl
        def perfmw_register_codecs(settings):
            return {"zlib": ZlibCodec(level=6)}
    """


@hookspec
def perfmw_register_optimizers(settings: Settings) -> Mapping[str, Optimizer]:
    """Name optimizers that the engine asks for opportunities.

    Fires once, at build.

    :param settings: the settings of the runtime being built.
    :return: optimizer name -> optimizer.

    Example::

        @hookimpl
        def perfmw_register_optimizers(settings):
            return {"cache_route": CacheRouteOptimizer()}
    """


@hookspec
def perfmw_register_exporters(settings: Settings) -> Mapping[str, Exporter | TextExporter]:
    """Name exporters of profiles and metrics.

    Fires once, at build.

    :param settings: the settings of the runtime being built.
    :return: exporter name -> exporter.

    Example::

        @hookimpl
        def perfmw_register_exporters(settings):
            return {"statsd": StatsdExporter("127.0.0.1", 8125)}
    """


@hookspec
def perfmw_register_purgers(settings: Settings) -> Mapping[str, Purger]:
    """Name the CDNs before the app that are told of invalidations.

    Fires once, at build.

    :param settings: the settings of the runtime being built; `cdn` and `cdn_token` are meant for this.
    :return: name -> purger, all of which are used.

    Example::

        @hookimpl
        def perfmw_register_purgers(settings):
            return {"edge": EdgePurger(settings.cdn_token)}
    """


@hookspec
def perfmw_register_resource_pools(settings: Settings) -> Mapping[str, ResourcePool]:
    """Name resource pools that are sampled every ``Settings.sample_interval`` seconds.

    Fires once, at build.

    :param settings: the settings of the runtime being built.
    :return: pool name -> pool.

    Example::

        @hookimpl
        def perfmw_register_resource_pools(settings):
            return {"orders-db": SqlAlchemyPool(engine)}
    """


@hookspec
def perfmw_register_alert_channels(settings: Settings) -> Mapping[str, AlertChannel]:
    """Name channels that alerts are sent to.

    Fires once, at build.

    :param settings: the settings of the runtime being built.
    :return: channel name -> channel.

    Example::

        @hookimpl
        def perfmw_register_alert_channels(settings):
            return {"pager": PagerChannel(os.environ["PAGER_KEY"])}
    """


@hookspec
def perfmw_register_dashboard_panels(settings: Settings) -> Sequence[DashboardPanel]:
    """Add panels to the dashboard: to its overview, or with ``page`` to a page of their own.

    Fires once, at build.

    :param settings: the settings of the runtime being built.
    :return: the panels.

    Example::

        @hookimpl
        def perfmw_register_dashboard_panels(settings):
            return [DashboardPanel("queue", "Job queue", ("queue", "waiting"), queue_rows)]
    """


@hookspec
def perfmw_register_commands(cli: click.Group) -> None:
    """Add commands to the ``perfmw`` command line.

    Fires once, when the command line starts.

    :param cli: the click group to add commands to.
    :return: nothing.

    Example::

        @hookimpl
        def perfmw_register_commands(cli):
            cli.add_command(my_command)
    """


@hookspec(firstresult=True)
def perfmw_cache_key(request: Any) -> str | None:
    """Replace the primary cache key of a request.

    Fires for every cacheable request that a plugin with this hook sees; without one it costs nothing. If it
    raises, the request stays away from the cache.
    The answer becomes part of the key beside scheme and authority, so it cannot mix hosts.

    :param request: ``perfmw.http.messages.Request``: method, scheme, authority, path, query, headers.
    :return: the key, or None to leave it to the next plugin and then to perfmw.

    Example::

        @hookimpl
        def perfmw_cache_key(request):
            return request.path.decode("latin-1")  # the query never matters here
    """


@hookspec
def perfmw_should_cache(request: Any, response: Any) -> bool | None:
    """Veto storing a response.

    Fires once for each response that perfmw is about to store. Every plugin is asked; one that says False,
    or raises, is enough.

    :param request: ``perfmw.http.messages.Request``.
    :param response: ``perfmw.http.messages.ResponseHead``: status and headers.
    :return: False to keep it out of the cache; None or True leaves the decision to perfmw. A plugin can
        not make a response storable that HTTP forbids to store.

    Example::

        @hookimpl
        def perfmw_should_cache(request, response):
            return False if request.path.startswith(b"/admin") else None
    """


@hookspec(firstresult=True)
def perfmw_request_priority(request: Any) -> str | None:
    """Name the priority class of a request.

    Fires once for each request that reaches the host app, before it does, where the settings limit it
    (``concurrency_limit`` or ``quotas``). A plugin that raises says nothing.

    :param request: ``perfmw.http.messages.Request``.
    :return: ``low``, ``normal`` or ``high``, or None to leave it to the next plugin and then to the setting
        ``request_priorities``.

    Example::

        @hookimpl
        def perfmw_request_priority(request):
            return "high" if request.path.startswith(b"/checkout") else None
    """


@hookspec(firstresult=True)
def perfmw_classify_span(span: Any) -> tuple[str, str] | None:
    """Say which profile a finished span belongs to.

    Fires for each span that ends, when the host uses OpenTelemetry.

    :param span: ``opentelemetry.sdk.trace.ReadableSpan``.
    :return: (profile type, profile name), or None for the classification by semantic conventions.

    Example::

        @hookimpl
        def perfmw_classify_span(span):
            return ("workflow", span.name) if span.name.startswith("job.") else None
    """


@hookspec
def perfmw_startup(runtime: Any) -> None:
    """The runtime has started.

    Fires once in each process, after the layers are built and before the first request is served.

    :param runtime: ``perfmw.Runtime``.
    :return: nothing.

    Example::

        @hookimpl
        def perfmw_startup(runtime):
            runtime.spawn(refresh_forever(), name="my-refresh")
    """


@hookspec
def perfmw_shutdown(runtime: Any) -> None:
    """The runtime is about to stop.

    Fires once in each process, before its background tasks are cancelled.

    :param runtime: ``perfmw.Runtime``.
    :return: nothing.

    Example::

        @hookimpl
        def perfmw_shutdown(runtime):
            my_client.close()
    """


@hookspec
def perfmw_invalidated(keys: Sequence[str], tags: Sequence[str]) -> None:
    """Something was invalidated.

    Fires after each invalidation holds on this host.

    :param keys: the keys that were named.
    :param tags: the tags that were named.
    :return: nothing.

    Example::

        @hookimpl
        def perfmw_invalidated(keys, tags):
            cdn.purge(tags)
    """


@hookspec
def perfmw_alert(alert: Alert) -> None:
    """An alert was raised, updated or resolved.

    Fires beside the alert channels.

    :param alert: the alert; ``resolved_at`` is set when it is over.
    :return: nothing.

    Example::

        @hookimpl
        def perfmw_alert(alert):
            audit.write(alert.message)
    """


@hookspec
def perfmw_optimization_applied(result: AppliedOptimization) -> None:
    """An optimization was kept.

    Fires after its measurement, when the verdict is to keep it.

    :param result: the optimization, with its step's result.
    :return: nothing.

    Example::

        @hookimpl
        def perfmw_optimization_applied(result):
            chat.say(f"{result.target}: {result.type} kept")
    """


@hookspec
def perfmw_scale_advice(advice: ScaleAdvice) -> None:
    """The forecast says that more or fewer workers will be needed.

    Fires when the advice changes, in one worker of a host.

    :param advice: how many workers, when, and why.
    :return: nothing.

    Example::

        @hookimpl
        def perfmw_scale_advice(advice):
            autoscaler.suggest(advice.wanted)
    """
