"""What ``perfmw doctor`` makes of settings: what contradicts itself, does nothing or is unsafe. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from perfmw.cli.findings import Finding, error, hint, warning
from perfmw.http.rules import compile_pattern
from perfmw.settings import CacheRule, Settings
from perfmw.settings.model import options
from perfmw.settings.sources import ENV_PREFIX, OTHER_VARIABLES

_SHORTEST_TOKEN = 16
_ENCRYPTING = frozenset({"aes-256-gcm", "chacha20-poly1305"})
_SAMPLES = (("x1", "x1"), ("y2", "y2/z3"))
_PERSONAL = re.compile(
    r"(^|[/_.-])(me|my|account|accounts|admin|basket|cart|checkout|inbox|invoice|invoices|login|logout|order"
    r"|orders|password|payment|profile|session|settings|token|user|users|wallet)($|[/_.*-])"
)


def check_settings(settings: Settings, *, workers: int = 1) -> Iterator[Finding]:
    """Everything that can be said of settings without looking at anything else.

    :param workers: how many processes serve the app.
    """
    if not settings.enabled:
        yield hint(
            "disabled",
            "enabled = false: perfmw passes every request through",
            "Set enabled = true when done.",
        )
    yield from _unused(settings)
    yield from _learning(settings)
    yield from _guards(settings)
    yield from _dashboard(settings, workers)
    yield from _workers(settings, workers)
    yield from check_rules(settings.cache_rules, dynamic_ttl=settings.dynamic_ttl)


def check_environment(env: Mapping[str, str], others: Collection[str] = OTHER_VARIABLES) -> Iterator[Finding]:
    """``PERFMW_*`` variables that nobody reads."""
    known = {ENV_PREFIX + name.upper() for name in options()} | {ENV_PREFIX + name for name in others}
    for name in sorted(env):
        if name.startswith(ENV_PREFIX) and name not in known:
            yield warning(
                "unknown-variable",
                f"the variable {name} in the environment is no setting, and does nothing",
                "Correct its name (`perfmw config show` lists the settings), or unset it.",
            )


def _unused(settings: Settings) -> Iterator[Finding]:
    used = {*settings.layers, *(name for one in settings.namespaces.values() for name in one.layers or ())}
    wanted = {"redis_url": settings.distributed_layer, "disk_path": "disk"}
    for name, layer in wanted.items():
        if getattr(settings, name) is not None and layer not in used:
            yield warning(
                "unused-setting",
                f"{name} is set (from {settings.origin(name)}), but no layer {layer!r} is in use",
                f"Name it: layers = [..., {layer!r}]; or leave {name} out.",
            )
    if settings.cdn_token is not None and settings.cdn is None:
        yield warning(
            "unused-setting",
            "cdn_token is set, but there is no table cdn",
            "Write the table, or leave it out.",
        )
    if settings.encryption_keys is not None and not _ENCRYPTING & set(settings.codecs or ()):
        yield error(
            "not-encrypted",
            "encryption_keys are set, but codecs names no encryption: what leaves memory is not encrypted",
            'Set codecs = ["zstd", "aes-256-gcm"].',
        )
    if settings.otlp_endpoint is None and settings.origin("otlp_protocol") != "default":
        yield warning(
            "unused-setting",
            "otlp_protocol is set without otlp_endpoint: nothing is sent",
            "Set otlp_endpoint, or leave it out.",
        )


def _learning(settings: Settings) -> Iterator[Finding]:
    stale = [rule for rule in settings.cache_rules if rule.max_stale is not None]
    if settings.dynamic_ttl and not stale:
        yield warning(
            "no-effect",
            "dynamic_ttl is on, but no cache rule has max_stale: nothing is learned",
            "Give rules a max_stale, such as 0.01, or switch dynamic_ttl off.",
        )
    if stale and not settings.dynamic_ttl:
        yield warning(
            "no-effect",
            f"the rule for {stale[0].path} has max_stale, but dynamic_ttl is off: ttl alone holds",
            "Set dynamic_ttl = true, or leave max_stale out.",
        )
    if settings.warm_up_origin is None and any(not name.startswith("hottest") for name in settings.warm_up):
        yield warning(
            "no-effect",
            "warm_up names pages without warm_up_origin: they are stored under no host that visitors ask for",
            "Set warm_up_origin to the scheme and host under which visitors see the site.",
        )
    if settings.trace_with != "perfmw" and not settings.trace_ratio:
        yield warning(
            "no-effect",
            f"trace_with = {settings.trace_with!r}, but trace_ratio is 0",
            "Set trace_ratio, such as 0.01.",
        )


def _guards(settings: Settings) -> Iterator[Finding]:
    if settings.allow_set_cookie:
        yield warning(
            "cookies-shared",
            "allow_set_cookie is on: a stored response gives its cookies, such as a session, to everyone",
            "Leave it off; set cookies on responses that are not cached.",
        )
    if settings.rfc_strict:
        yield warning(
            "guards-off",
            "rfc_strict is on: requests with Cookie get shared responses, as RFC 9111 allows",
            "Leave it off unless every personal response of the app says private or no-store.",
        )
    if settings.trust_forwarded_host:
        yield hint(
            "forwarded-host",
            "trust_forwarded_host is on: who can send X-Forwarded-Host can fill the cache with wrong links",
            "Make sure that a proxy of yours sets or removes it for every request.",
        )


def _dashboard(settings: Settings, workers: int) -> Iterator[Finding]:
    token = settings.dashboard_token
    if settings.dashboard == "token" and token is None and workers > 1:
        yield error(
            "token-per-process",
            f"dashboard = 'token' without dashboard_token: each of the {workers} workers makes up its own",
            "Set PERFMW_DASHBOARD_TOKEN to one long random text for all of them.",
        )
    if token is not None and len(token) < _SHORTEST_TOKEN:
        yield error(
            "weak-token",
            f"dashboard_token has {len(token)} characters and can be guessed",
            "Make one: python -c 'import secrets; print(secrets.token_urlsafe(24))'",
        )
    if token is not None and settings.dashboard == "off":
        yield warning(
            "unused-setting",
            "dashboard_token is set, but the dashboard is off",
            'Set dashboard = "token", or leave it out.',
        )


def _workers(settings: Settings, workers: int) -> Iterator[Finding]:
    if workers > 1 and settings.state_dir is None:
        yield warning(
            "workers-apart",
            f"{workers} workers without state_dir: each counts, learns and shows only its own requests",
            "Set state_dir to a directory that all of them may write.",
        )
    if workers > 1 and tuple(settings.layers) == ("memory",):
        yield warning(
            "workers-apart",
            f"{workers} workers with memory alone: what one invalidates stays in the memory of the others",
            'Add a layer that they share: cache_strategy = "hybrid", with state_dir or redis_url.',
        )


# ---- rules


def check_rules(rules: Collection[CacheRule], *, dynamic_ttl: bool = False) -> Iterator[Finding]:
    """Cache rules that reach further than they should, and such as never apply."""
    seen: list[CacheRule] = []
    for rule in rules:
        yield from _reach(rule)
        before = next((other for other in seen if _covers(other, rule)), None)
        if before is not None:
            yield warning(
                "rule-never-applies",
                f"the rule for {rule.path} never applies: the one for {before.path} fits first",
                "Put the narrower rule first.",
            )
        seen.append(rule)


def _reach(rule: CacheRule) -> Iterator[Finding]:
    everything = _matches(rule, "/x1") and _matches(rule, "/x1/y2/z3")
    if everything and rule.shared:
        yield error(
            "shared-everything",
            f"the rule for {rule.path} says shared=True of every page: a signed-in person's page goes to all",
            "Say shared=True only of paths whose responses are the same for everyone.",
        )
    elif everything and rule.ttl:
        yield warning(
            "rule-on-everything",
            f"the rule for {rule.path} gives every page {rule.ttl:g} s that states no lifetime itself",
            "Name the paths that may be old; `perfmw explain URL` tells what a rule does to a page.",
        )
    elif rule.shared and not rule.vary and _PERSONAL.search(rule.path.lower()):
        yield warning(
            "shared-personal",
            f"the rule for {rule.path} says shared=True, and the path looks like one person's own",
            "Take shared=True away, or name in vary the header that tells people apart.",
        )
    if rule.shared and {"cookie", "authorization"} & set(rule.vary):
        yield warning(
            "contradiction",
            f"the rule for {rule.path} says shared=True, and varies on credentials all the same",
            "Keep one of the two: vary where responses differ, shared=True where they do not.",
        )


def _matches(rule: CacheRule, path: str) -> bool:
    return compile_pattern(rule.path).fullmatch(path.encode()) is not None


def _covers(wide: CacheRule, narrow: CacheRule) -> bool:
    if not set(narrow.methods) <= {*wide.methods, *(["HEAD"] if "GET" in wide.methods else [])}:
        return False
    samples = (narrow.path.replace("**", deep).replace("*", one) for one, deep in _SAMPLES)
    return all(_matches(wide, sample) for sample in samples)
