"""Tags named while something is computed, gathered for what is stored of it."""

from __future__ import annotations

from contextvars import ContextVar

_collected: ContextVar[set[str] | None] = ContextVar("perfmw_tags", default=None)


def tag(*names: str) -> None:
    """Tag the response being built, so that ``invalidate(tags=[...])`` reaches it. No effect elsewhere.

    :raises TypeError: for a name that is not a str.
    """
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"tag() takes names as str, not {type(name).__name__}")
    collected = _collected.get()
    if collected is not None:
        collected.update(names)


def collect() -> set[str]:
    """Begin anew to gather tags in this context; the set fills as ``tag`` is called.

    Tasks and threads that inherit the context add to the same set.
    """
    collected: set[str] = set()
    _collected.set(collected)
    return collected
