"""Runs cases through a cache: scripted origin behind, raw client in front."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext

from tests.conformance.client import fetch, wait_for_port
from tests.conformance.model import Answer, Case, Seen, Step, shown
from tests.conformance.origin import Origin, body_of

_AT_ONCE = 40
"""How many cases run at the same time, beside those that only wait for something to age."""


@asynccontextmanager
async def proxied(origin: Origin, *options: str) -> AsyncIterator[int]:
    """A real ``perfmw proxy`` process in front of the origin; its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "perfmw.cli",
        "proxy",
        f"{getattr(origin, 'scheme', 'http')}://127.0.0.1:{origin.port}",
        "--port",
        "0",
        *options,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    try:
        port = 0
        while not port:
            line = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
            assert line, "the proxy did not start"
            if line.startswith("perfmw: proxy for"):
                port = int(line.rsplit(":", 1)[1])
        drain = asyncio.ensure_future(process.stderr.read())
        await wait_for_port(port)
        yield port
        drain.cancel()
    finally:
        process.terminate()
        await process.wait()


async def run(cases: Sequence[Case], *options: str) -> dict[str, str]:
    """Case id -> what went wrong, empty when nothing did."""
    gate = asyncio.Semaphore(_AT_ONCE)
    async with Origin() as origin, proxied(origin, *options) as port:

        async def one(case: Case) -> tuple[str, str]:
            async with nullcontext() if any(step.wait for step in case.steps) else gate:
                try:
                    return case.id, await _case(case, origin, port)
                except Exception as error:
                    return case.id, f"{type(error).__name__}: {error}"

        return dict(await asyncio.gather(*map(one, cases)))


async def _case(case: Case, origin: Origin, port: int) -> str:
    origin.cases[case.id] = case
    for number, step in enumerate(case.steps, 1):
        before = len(origin.seen.get(case.id, ()))
        headers = [(name, shown(value)) for name, value in step.send] + [("Step", str(number))]
        answer = await fetch(port, step.method, f"/{case.id}{step.path}", headers, step.content)
        seen = origin.seen.get(case.id, [])[before:]
        if problem := _judge(case, number, step, answer, [item for item in seen if item.step == number]):
            return f"step {number}: {problem}"
        await asyncio.sleep(step.wait)
    return ""


def _judge(case: Case, number: int, step: Step, answer: Answer, seen: list[Seen]) -> str:
    if answer.complete == step.broken:
        return "the response is " + ("complete" if answer.complete else "incomplete")
    return (
        _whence(case, number, step, answer, seen)
        or _status_and_body(case, number, step, answer)
        or _fields(step, answer)
        or _request(step, seen)
        or (step.check(answer) if step.check else "")
    )


def _whence(case: Case, number: int, step: Step, answer: Answer, seen: list[Seen]) -> str:
    status = f"(cache-status: {answer.get('cache-status')})"
    if step.expect == "cached" and seen:
        return f"the origin was asked {status}"
    if step.expect == "origin" and not seen:
        return f"the origin was not asked {status}"
    if step.expect == "validated":
        if not seen:
            return f"the origin was not asked {status}"
        if not (seen[-1].get("if-none-match") or seen[-1].get("if-modified-since")):
            return f"the origin was asked without a condition {status}"
    return ""


def _status_and_body(case: Case, number: int, step: Step, answer: Answer) -> str:
    wanted = step.expect_status
    if wanted is None and step.expect in ("origin", "cached") and not step.broken:
        wanted = step.status if step.expect == "origin" else case.steps[(step.from_step or 1) - 1].status
    if wanted is not None and answer.status != wanted:
        return f"status {answer.status} instead of {wanted}"
    body = step.expect_body
    if body is None and step.method != "HEAD" and answer.status == 200 and not step.broken:
        source = step.from_step or (number if step.expect == "origin" else 0)
        source = source or (1 if step.expect in ("cached", "validated") else 0)
        body = body_of(case, source) if source else None
    if body is not None and answer.body != body:
        return f"body {answer.body[:80]!r} instead of {body[:80]!r}"
    return ""


def _fields(step: Step, answer: Answer) -> str:
    for name, value in step.see:
        if answer.get(name) != shown(value):
            return f"{name}: {answer.get(name)!r} instead of {shown(value)!r}"
    for name in step.unseen:
        if answer.get(name) is not None:
            return f"{name}: {answer.get(name)!r} should not be there"
    return ""


def _request(step: Step, seen: list[Seen]) -> str:
    if (step.sent or step.unsent or step.validator) and not seen:
        return "the origin was not asked"
    for name, value in step.sent:
        if seen[-1].get(name) != shown(value):
            return f"the origin saw {name}: {seen[-1].get(name)!r} instead of {shown(value)!r}"
    if step.validator and seen[-1].get(step.validator) is None:
        return f"the origin saw no {step.validator}"
    for name in step.unsent:
        if seen[-1].get(name) is not None:
            return f"the origin saw {name}: {seen[-1].get(name)!r}"
    return ""
