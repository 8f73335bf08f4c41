"""The optimization ledger, and the way back from one of its entries."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import Response

from perfmw.dashboard.api.endpoint import (
    NOTHING,
    PAGING,
    Context,
    Endpoint,
    answer,
    json_object,
    page_of,
    paging,
)
from perfmw.dashboard.problems import ProblemError
from perfmw.dashboard.view import ledger_rows

logger = logging.getLogger("perfmw.dashboard")


async def list_ledger(context: Context, request: Request) -> Response:
    limit, offset = paging(request)
    ledger = context.host.ledger
    return page_of(request, ledger_rows(ledger, limit, offset), len(ledger.entries()))


async def roll_back(context: Context, request: Request) -> Response:
    await json_object(request)
    entry_id = request.path_params["id"]
    ledger = context.host.ledger
    standing = {str(entry.id): entry.id for entry in ledger.kept()}
    if entry_id in standing:
        await _undo(context, standing[entry_id])
    elif entry_id in {str(entry.id) for entry in ledger.entries()}:
        raise ProblemError(409, f"Entry {entry_id} is not in force, so there is nothing to roll back.")
    else:
        raise ProblemError(404, f"The ledger has no entry {entry_id!r}.")
    return answer(request, {"id": entry_id, "rolled_back": True})


async def _undo(context: Context, entry_id: int) -> None:
    """Raises ProblemError 409 whatever goes wrong: optimizers are plugins, and their reasons their own."""
    try:
        await context.host.rollback(entry_id)
    except Exception as exc:
        logger.warning("entry %s could not be rolled back", entry_id, exc_info=True)
        raise ProblemError(409, f"It could not be rolled back: {exc.args[0] if exc.args else exc}.") from exc


ENDPOINTS = (
    Endpoint(
        "GET", "/ledger", "What was proposed, tried, kept and undone, newest first", list_ledger, query=PAGING
    ),
    Endpoint("POST", "/ledger/{id}/rollback", "Undo a change that is in force", roll_back, body=NOTHING),
)
