from __future__ import annotations

from perfmw.runtime.later import Later


def test_it_is_made_when_looked_at_and_once() -> None:
    calls: list[int] = []

    def make() -> list[str]:
        calls.append(1)
        return ["a", "b", "c"]

    later = Later(make)
    assert calls == []
    assert (list(later), len(later), later[1], later[1:], "c" in later) == (
        ["a", "b", "c"],
        3,
        "b",
        ["b", "c"],
        True,
    )
    assert calls == [1]
