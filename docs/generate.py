"""Write the reference pages, settings.md, hooks.md and cli.md, from the code they describe.

``python docs/generate.py`` writes them; ``python docs/generate.py --check`` fails if one is out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path

import click

from perfmw import hookspecs
from perfmw.settings import CacheRule, Cdn, Channel, Concurrency, Monitoring, Namespace, Quota
from perfmw.settings.cdn import CDN_REFERENCE
from perfmw.settings.limits import CONCURRENCY_REFERENCE, QUOTA_REFERENCE
from perfmw.settings.model import options
from perfmw.settings.monitoring import CHANNEL_REFERENCE, MONITORING_REFERENCE
from perfmw.settings.namespaces import NAMESPACE_REFERENCE
from perfmw.settings.parts import PART_REFERENCE, MemoryPart
from perfmw.settings.rules import RULE_REFERENCE

HERE = Path(__file__).parent

SETTINGS_HEAD = """\
# Settings

<!-- made by docs/generate.py from perfmw/settings: change it there -->

A value is looked for in this order; the first place that has it wins, and `settings.origin(name)` and
`perfmw config show --origin` tell which it was:

1. a keyword: `Settings(apdex_t=0.3)`
2. the environment: `PERFMW_APDEX_T=0.3` (an empty variable counts as not set)
3. `perfmw.toml` in the working directory: `apdex_t = 0.3`
4. the table `[tool.perfmw]` of `pyproject.toml` in the working directory
5. the default

A value that does not fit is an error that names the key, the value, its origin and what is allowed; so is
an unknown key. An unknown `PERFMW_*` variable is only logged. Lists in the environment are words separated
by commas, or JSON.

```python
from perfmw import CacheRule, Settings

settings = Settings(
    memory_max_bytes=128 * 1024 * 1024,
    cache_rules=[CacheRule(path="/items/*", ttl=60, tags=["items"])],
)
assert settings.origin("memory_max_bytes") == "keyword"
assert settings.replace(apdex_t=0.3).cache_rules == settings.cache_rules
```

The same in `perfmw.toml`:

```toml
memory_max_bytes = "128MiB"

[[cache_rules]]
path = "/items/*"
ttl = "1m"
tags = ["items"]
```

## All settings

| setting | default | allowed | what it is |
|---|---|---|---|
"""

RULE_HEAD = """
## Cache rules

A rule says how long matching responses stay fresh that do not say it themselves. The guards hold under a
rule too, see [security](security.md).

| field | default | allowed | what it is |
|---|---|---|---|
"""

NAMESPACE_HEAD = """
## Namespaces

A table each, under a name that is `application`, `database`, `api`, `content` or `session`, or one of them
with a name behind, such as `session.carts`. See [caching](caching.md#namespaces).

| field | default | allowed | what it is |
|---|---|---|---|
"""

PART_HEAD = """
## Parts of the memory

A table each in `memory_parts`, under `content` (pages), `api` (JSON and XML) or `functions`. See
[learning](learning.md#should-namespaces-share-one-cache).

| field | default | allowed | what it is |
|---|---|---|---|
"""

CDN_HEAD = """
## A CDN before the app

The fields of the table `cdn`. See [caching](caching.md#a-cdn-before-the-app).

| field | default | allowed | what it is |
|---|---|---|---|
"""

CONCURRENCY_HEAD = """
## Limits of concurrency

The fields of the table `concurrency`. See [limits](limits.md#overload).

| field | default | allowed | what it is |
|---|---|---|---|
"""

QUOTA_HEAD = """
## Quotas

The fields of each of the `quotas`. See [limits](limits.md#quotas).

| field | default | allowed | what it is |
|---|---|---|---|
"""

MONITORING_HEAD = """
## Monitoring

The fields of the table `monitoring`. See [monitoring](monitoring.md).

| field | default | allowed | what it is |
|---|---|---|---|
"""

CHANNEL_HEAD = """
## Channels of alerts

The fields of a table `monitoring.channels.NAME`. `url`, `secret` and `password` may be `env:NAME`, and are
never shown.

| field | default | allowed | what it is |
|---|---|---|---|
"""

HOOKS_HEAD = """\
# Hooks

<!-- made by docs/generate.py from perfmw/hookspecs.py: change it there -->

What a plugin can do, hook by hook. [Writing a plugin](plugins.md) tells how to make one and how perfmw finds
it. Every implementation is a plain function marked with `@hookimpl`, and may leave out arguments that it does
not need:

```python
from perfmw import hookimpl
```
"""

GROUPS = {
    "Registration": (
        "perfmw_register_",
        "Fire once, while a runtime is built; what they return is kept under names that settings can choose.",
    ),
    "Requests": (
        ("perfmw_cache_key", "perfmw_should_cache", "perfmw_request_priority", "perfmw_classify_span"),
        "The first answer that is not None wins; plugins passed in code are asked first. Without an "
        "implementation they cost nothing.",
    ),
    "Events": (
        "perfmw_",
        "Every plugin is told; an exception is logged and stops neither the others nor perfmw.",
    ),
}


def settings_page() -> str:
    rows = [
        _row(name, option.default, option.metadata["kind"].allowed, option.metadata["doc"])
        for name, option in options().items()
    ]
    tables = [
        (RULE_HEAD, CacheRule, RULE_REFERENCE),
        (NAMESPACE_HEAD, Namespace, NAMESPACE_REFERENCE),
        (PART_HEAD, MemoryPart, PART_REFERENCE),
        (CDN_HEAD, Cdn, CDN_REFERENCE),
        (CONCURRENCY_HEAD, Concurrency, CONCURRENCY_REFERENCE),
        (QUOTA_HEAD, Quota, QUOTA_REFERENCE),
        (MONITORING_HEAD, Monitoring, MONITORING_REFERENCE),
        (CHANNEL_HEAD, Channel, CHANNEL_REFERENCE),
    ]
    return SETTINGS_HEAD + "".join(rows) + "".join(head + _table(cls, ref) for head, cls, ref in tables)


def _table(cls: type, reference: Mapping[str, tuple[str, str]]) -> str:
    defaults = {field.name: field.default for field in fields(cls)}
    return "".join(_row(name, defaults[name], *about) for name, about in reference.items())


def _row(name: str, default: object, allowed: str, doc: str) -> str:
    return f"| `{name}` | {_shown(default)} | {allowed} | {doc} |\n"


def _shown(default: object) -> str:
    if default is MISSING:
        return "required"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, Concurrency | Monitoring):
        return "as below"
    if isinstance(default, dict) and default:
        return "`{" + ", ".join(f"{name} = {value:g}" for name, value in default.items()) + "}`"
    if isinstance(default, tuple):
        return "`[" + ", ".join(f'"{item}"' for item in default) + "]`"
    if isinstance(default, int) and default and default % 2**20 == 0:
        return f'`"{default // 2**20}MiB"`'
    return "none" if default is None or default == {} else f"`{default}`" if default != "" else '`""`'


def hooks_page() -> str:
    names = [name for name in vars(hookspecs) if name.startswith("perfmw_")]
    page = HOOKS_HEAD
    for title, (wanted, sentence) in GROUPS.items():
        chosen = [name for name in names if name.startswith(wanted)]
        names = [name for name in names if name not in chosen]
        page += f"\n## {title}\n\n{sentence}\n" + "".join(_hook(name) for name in chosen)
    return page


def _hook(name: str) -> str:
    function = getattr(hookspecs, name)
    text, _, example = inspect.cleandoc(function.__doc__).replace("``", "`").partition("Example::\n")
    summary, when, *notes = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
    parameters = [_bullet(line) for line in _parameters(text)]
    notes = [note for note in notes if not note.startswith(":param")]
    signature = str(inspect.signature(function)).replace("'", "")
    lines = [
        f"\n### {name}\n",
        f"{summary}\n",
        f"```text\n{name}{signature}\n```\n",
        f"**When:** {' '.join([when, *notes])}\n",
        *parameters,
        f"\n```python\n{textwrap.dedent(example).strip()}\n```\n",
    ]
    return "\n".join(lines)


def _parameters(text: str) -> Iterator[str]:
    start = text.find(":param")
    for part in re.split(r"\n(?=:)", text[start:].strip()):
        yield " ".join(part.split())


def _bullet(line: str) -> str:
    if line.startswith(":return:"):
        return f"- returns {line.removeprefix(':return:').strip()}"
    match = re.fullmatch(r":param (\w+): (.*)", line)
    assert match, f"not a parameter: {line}"
    return f"- `{match[1]}`: {match[2]}"


CLI_HEAD = """\
# The command line

<!-- made by docs/generate.py from perfmw/cli: change it there -->

`pip install 'perfmw[cli]'` brings the servers and the colours; `perfmw init` is a good first command,
`perfmw doctor` a good second one.

- **Data and words.** Data goes to stdout and everything else to stderr. `--json` makes the data JSON:
  seconds, bytes, and shares from 0 to 1.
- **Exit codes.** 0: all is well. 1: the command ran and found a failure. 2: it could not do what was
  asked, and says what to change. 130: it was interrupted.
- **A running server.** `--url URL` (or `PERFMW_URL`) names the dashboard of a perfmw that runs, and
  `--token` (or `PERFMW_DASHBOARD_TOKEN`) opens it. A URL without a path means `/_perfmw`.
- **Being asked.** What removes something asks first, unless `--yes` is given; without a terminal it
  refuses.
- **Colours** are only for terminals, and `NO_COLOR` switches them off there, too.
- **Completion:** `eval "$(perfmw completion bash)"` in `~/.bashrc`, the same with `zsh`, or `perfmw
  completion fish > ~/.config/fish/completions/perfmw.fish`.

## How to

**See what is wrong.** `perfmw doctor main:app` looks at the settings, tries out layers, files and
plugins, and looks at the order of the app's middlewares; `perfmw doctor --url
https://shop.example/_perfmw` asks a running one. Every finding has a code, for scripts: `perfmw doctor
--json | jq -r '.findings[].code'`.

**Watch.** `perfmw top` in a terminal; `perfmw top --once --json` in a script; `perfmw top --json` writes
a line every two seconds.

**Is it worth it?** `perfmw bench main:app --path / --path /items/1 --seconds 60` serves the app with and
without perfmw and measures them in turns. A ratio whose interval holds 1 shows no difference.

**Which policy, how much memory?** Record what is asked for, then try it out:

```text
perfmw record main:app -o trace.txt           # or perfmw run main:app --record trace.txt
perfmw simulate trace.txt --policy lru,s3fifo,gdsf --size 16MiB,64MiB
perfmw simulate trace.txt --learn strategy    # the settings that fit
```

The trace has a line for each GET that the cache answered or stored. Keys are hashed with a key that is
thrown away, so that it can be given to others; `--plain` keeps paths (and still hashes queries).
"""


def cli_page() -> str:
    from perfmw.cli.group import LazyGroup, built_in, cli

    assert isinstance(cli, LazyGroup)
    root = click.Context(cli, info_name="perfmw")
    page = CLI_HEAD
    for name in built_in():
        command = cli.get_command(root, name)
        assert command is not None
        page += _command(command, click.Context(command, info_name=name, parent=root), 2)
    return page


def _command(command: click.Command, context: click.Context, level: int) -> str:
    text = inspect.cleandoc(command.help or "").split("\f")[0]
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    parts = [f"\n{'#' * level} {context.command_path}\n", "\n\n".join(paragraphs)]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            parts.append(_command(inner, click.Context(inner, info_name=name, parent=context), level + 1))
        return "\n".join(parts[:2]) + "\n" + "".join(parts[2:])
    pieces = " ".join(command.collect_usage_pieces(context))
    parts.append(f"\n```text\n{context.command_path} {pieces}\n```\n")
    rows = [_option(one, context) for one in command.params if isinstance(one, click.Option)]
    if rows:
        parts.append("| option | default | what it does |\n|---|---|---|\n" + "".join(rows))
    return "\n".join(parts).rstrip() + "\n"


def _option(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if not option.is_flag:
        names += " `" + option.make_metavar(context).replace("|", "\\|") + "`"
    default = option.default if isinstance(option.default, str | int | float | Path) else None
    shown = "" if default in (None, "") or isinstance(default, bool) else f"`{default}`"
    return f"| {names} | {shown} | {(option.help or '').replace('|', chr(92) + '|')} |\n"


PAGES = {"settings.md": settings_page, "hooks.md": hooks_page, "cli.md": cli_page}


def main(check: bool) -> int:
    stale = [
        name
        for name, page in PAGES.items()
        if not (HERE / name).exists() or (HERE / name).read_text(encoding="utf-8") != page()
    ]
    for name in stale:
        if check:
            print(f"{name} is out of date: run python docs/generate.py", file=sys.stderr)
        else:
            (HERE / name).write_text(PAGES[name](), encoding="utf-8")
            print(f"wrote {name}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
