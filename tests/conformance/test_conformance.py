"""The table, case by case, against a real ``perfmw proxy`` process: in RFC mode every case holds."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.cases import CASES, TOPICS
from tests.conformance.engine import run

GUARDED = {
    # what the guards of the safe mode give up, and why
    "understand-": "no-store is believed, whatever must-understand says",
    "status-4": "errors that are not cacheable by default are not stored",
    "status-5": "errors that are not cacheable by default are not stored",
    "heuristic-501": "errors that are not cacheable by default are not stored",
    "key-cookie": "a request with a Cookie gets only what was marked for it",
    "set-cookie": "cookies are never stored",
    "content-encoding": "a 304 does not change what the stored bytes are",
    "304-lm-etag": "a 304 with another tag is about another response",
    "content-range": "a 304 does not change what the stored bytes are",
    "auth-": "a request with Authorization gets only what was marked for it",
    "method-post-location": "a POST leaves nothing behind",
    "vary-lang-order": "the order of languages counts as a preference",
    "vary-tags-": "apps give the pages of two users one tag",
    "cdn-names": "private is believed, whatever it names",
    "cdn-over-": "no-store and private of Cache-Control hold beside another cache's field",
}
"""Parts of the ids of cases that only the RFC mode has to pass."""


@pytest.mark.parametrize("topic", TOPICS)
def test_in_rfc_mode_every_case_holds(topic: str) -> None:
    problems = asyncio.run(run(TOPICS[topic], "--rfc"))
    assert {name: problem for name, problem in problems.items() if problem} == {}


@pytest.mark.parametrize("topic", TOPICS)
def test_in_safe_mode_only_the_guards_differ(topic: str) -> None:
    problems = asyncio.run(run(TOPICS[topic]))
    unexpected = {
        name: problem
        for name, problem in problems.items()
        if problem and not any(part in name for part in GUARDED)
    }
    assert unexpected == {}


def test_every_case_has_a_name_of_its_own_and_can_fail() -> None:
    names = [case.id for case in CASES]
    assert len(names) == len(set(names))
    for case in CASES:
        assert any(
            step.expect or step.expect_status or step.see or step.unseen or step.check or step.sent
            for step in case.steps
        ), case.id
