"""What is shown, computed from a snapshot and the ledger."""

from __future__ import annotations

from perfmw.contracts import RuntimeSnapshot
from perfmw.dashboard.view import TrialView, outcomes, reasons, route_table, run_view, to_json
from perfmw.exchange.refusals import REFUSALS
from tests.dashboard.fake import FakeLedger, profile


def test_reasons_are_shares_of_all_requests_without_the_hits() -> None:
    found = reasons({"hit": 60, "stale": 10, "uri-miss": 30, "method": 0})
    assert [(reason.word, reason.count, reason.share) for reason in found] == [
        ("uri-miss", 30, 0.3),
        ("stale", 10, 0.1),
    ]
    assert all(reason.fix for reason in found)
    assert reasons({}) == []


def test_every_word_of_rfc_9211_and_every_detail_is_explained() -> None:
    words = {"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}
    for reason in reasons(dict.fromkeys(words | {"no-freshness", "cookie", "set-cookie", *REFUSALS}, 1)):
        assert reason.meaning != reason.word
        assert reason.fix
    assert reasons({"some-new-word": 1})[0].meaning == "some-new-word"


def test_the_route_that_took_most_time_is_first() -> None:
    few_but_slow = profile("GET /slow", count=10, p50=9.0)
    many_but_fast = profile("GET /fast", count=1_000, p50=0.001)
    table = route_table(RuntimeSnapshot(0, 60, [many_but_fast, few_but_slow, profile("q", type="query")]))
    assert [row.name for row in table.items] == ["GET /slow", "GET /fast"]
    assert table.total == 2
    assert route_table(RuntimeSnapshot(0, 60, [many_but_fast]), 5, 3).items == []


def test_a_try_is_shown_by_its_outcome() -> None:
    ledger = FakeLedger()
    for kind in ("proposed", "applied", "measured", "kept"):
        ledger.lines.append(ledger.add(kind, "Cache /a", "/a", 1.0))
        ledger.lines.pop()
        ledger.lines[-1].opportunity.id = "a"
    later = ledger.add("proposed", "Cache /b", "/b", 2.0)
    rows = outcomes(ledger, 10)
    assert [(row.title, row.kind, row.standing) for row in rows] == [
        ("Cache /b", "proposed", False),
        ("Cache /a", "kept", True),
    ]
    assert [row.id for row in outcomes(ledger, 1)] == [str(later.id)]


def test_a_run_shows_its_steps_by_title_and_the_last_run_when_idle() -> None:
    step = {
        "step_id": "o1",
        "verdict": "rolled_back",
        "reason": "no gain",
        "error": None,
        "improvement": 0.01,
    }
    running = run_view(
        {
            "status": "running",
            "step": {"id": "o2", "title": "Cache /b"},
            "blocks_done": 2,
            "blocks": 8,
            "verdicts": [step],
        },
        {"o1": "Cache /a"},
    )
    assert (running.running, running.trials) == (True, [TrialView("Cache /b", 2, 8)])
    assert (running.verdicts[0].title, running.verdicts[0].verdict) == ("Cache /a", "rolled back")
    idle = run_view({"status": "idle", "last": {"steps": [step]}})
    assert (idle.running, idle.finished, idle.verdicts[0].title) == (False, True, "o1")
    nothing = run_view({"status": "idle", "last": None})
    assert (nothing.finished, nothing.verdicts) == (False, [])
    assert run_view({"status": "running", "step": None}).trials == []


def test_json_knows_mappings_and_says_the_rest_as_text() -> None:
    from types import MappingProxyType

    assert (
        to_json({"a": MappingProxyType({"b": 1}), "c": object}) == b'{"a":{"b":1},"c":"<class \'object\'>"}'
    )


def test_changes_on_trial_together_are_all_shown() -> None:
    trying = [
        {"id": "a", "title": "Cache /a", "blocks_done": 1, "blocks": 8},
        {"id": "b", "title": "Cache /b", "blocks_done": 3, "blocks": 4},
    ]
    running = run_view({"status": "running", "step": {"title": "Cache /a"}, "trying": trying})
    assert running.trials == [TrialView("Cache /a", 1, 8), TrialView("Cache /b", 3, 4)]
    assert run_view({"status": "running", "step": None, "trying": []}).trials == []
