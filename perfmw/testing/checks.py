"""What contract suites are made of: assertions that say what was promised, and a runner without pytest."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any


class ContractError(AssertionError):
    """An implementation breaks its contract; the message is the promise that does not hold."""


def check(holds: object, promise: str) -> None:
    """Raise ContractError with ``promise`` unless it holds, under ``python -O`` too."""
    if not holds:
        raise ContractError(promise)


def check_raises(error: type[BaseException], call: Callable[[], object], promise: str) -> None:
    """Raise ContractError unless ``call`` raises ``error``."""
    try:
        answer = call()
    except error:
        return
    raise ContractError(f"{promise}; it returned {answer!r}")


class Contract:
    """The base of the suites. A subclass named ``Test…`` with a ``make`` method is collected by pytest.

    Every ``test_…`` method makes an implementation of its own. Asynchronous suites run each test in an
    event loop of its own, so they need no pytest plugin.
    """

    @staticmethod
    def run(scenario: Callable[[], Awaitable[Any]]) -> None:
        """Run one asynchronous test to its end."""

        async def main() -> None:
            await scenario()

        asyncio.run(main())


def run_contract(suite: type[Contract]) -> list[str]:
    """Run a suite without pytest and return the names of its tests.

    :raises ContractError: naming every test that failed and why.
    """
    names = sorted(name for name in dir(suite) if name.startswith("test_"))
    failures = []
    for name in names:
        try:
            getattr(suite(), name)()
        except Exception as error:
            reason = traceback.format_exception_only(error)[-1].strip()
            failures.append(f"{suite.__name__}.{name}: {reason}")
    if failures:
        raise ContractError("\n".join(failures))
    return names
