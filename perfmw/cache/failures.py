"""Exceptions that are kept for a while in place of a result, in this process alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any


class Failure:
    """An exception that a function raised. It has no binary form, so it stays in memory."""

    __slots__ = ("_error",)
    size = 500

    def __init__(self, error: Exception) -> None:
        self._error = _copied(error)

    def error(self) -> Exception:
        """One of its own for each who raises it, so that tracebacks of several callers do not mix."""
        return _copied(self._error)


def _copied(error: Exception) -> Exception:
    """The same exception without what it says of where it was raised; itself where it cannot be copied."""
    made = _made_by(copy.copy, error) or _made_by(_duplicated, error)
    return error if made is None else made.with_traceback(None)


def _made_by(duplicate: Callable[[Exception], Any], error: Exception) -> Exception | None:
    try:
        made = duplicate(error)
    except Exception:  # a class that cannot be made of its args; another that is not made in Python
        return None
    return made if type(made) is type(error) and made is not error else None


def _duplicated(error: Exception) -> Any:
    made = type(error).__new__(type(error), *error.args)
    made.__dict__.update(error.__dict__)
    return made
