"""The table, case by case, against a real ``perfmw proxy`` process: in RFC mode every case holds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from tests.conformance.cases import CASES, TOPICS
from tests.conformance.engine import run
from tests.conformance.model import Case

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

TOGETHER = (
    "conditional",
    "freshness variants",
    "directives methods targeted",
    "partial stale storing further",
)
"""Topics that share a proxy: all at once would keep it so busy that cases of seconds are judged wrongly."""


def cases_of(topics: str) -> list[Case]:
    return [case for topic in topics.split() for case in TOPICS[topic]]


def test_no_topic_is_left_out() -> None:
    assert sorted(" ".join(TOGETHER).split()) == sorted(TOPICS)


def failing(cases: list[Case], *options: str, but: Collection[str] = ()) -> dict[str, str]:
    """Case id -> what is wrong. Cases count seconds: what fails on a busy machine is put again."""
    problems: dict[str, str] = {}
    for _ in range(2):
        problems = asyncio.run(run(cases, *options)) if cases else {}
        cases = [case for case in cases if problems[case.id] and not any(part in case.id for part in but)]
    return {case.id: problems[case.id] for case in cases}


@pytest.mark.parametrize("topics", TOGETHER)
def test_in_rfc_mode_every_case_holds(topics: str) -> None:
    assert failing(cases_of(topics), "--rfc") == {}


@pytest.mark.parametrize("topics", TOGETHER)
def test_in_safe_mode_only_the_guards_differ(topics: str) -> None:
    assert failing(cases_of(topics), but=GUARDED) == {}


def test_every_case_has_a_name_of_its_own_and_can_fail() -> None:
    names = [case.id for case in CASES]
    assert len(names) == len(set(names))
    for case in CASES:
        assert any(
            step.expect or step.expect_status or step.see or step.unseen or step.check or step.sent
            for step in case.steps
        ), case.id
