"""Tags: what was invalidated stays so, what was not stays valid, in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache import Entry, TagIndex
from tests.cache.clock import FakeNanoClock


def entry(index: TagIndex, *tags: str) -> Entry:
    return Entry(1, tags=tags, epoch=index.now())


def test_invalidating_a_tag_reaches_what_carries_it() -> None:
    index = TagIndex(clock=FakeNanoClock())
    tagged, other, plain = entry(index, "a", "b"), entry(index, "c"), entry(index)
    index.invalidate("b")
    assert not index.valid(tagged)
    assert index.valid(other)
    assert index.valid(plain)
    assert index.valid(entry(index, "b"))


def test_validity_is_remembered_until_something_else_is_invalidated() -> None:
    index = TagIndex(clock=FakeNanoClock())
    kept = entry(index, "a")
    index.invalidate("z")
    assert index.valid(kept)
    assert kept.checked == index.epoch
    index.invalidate("a")
    assert not index.valid(kept)


@given(st.lists(st.sampled_from(["now", "invalidate", "back", "on"]), max_size=60))
def test_an_invalidation_is_later_than_every_fill_before_it(steps: list[str]) -> None:
    clock = FakeNanoClock()
    index = TagIndex(clock=clock)
    handed_out = 0
    for step in steps:
        if step == "now":
            token = index.now()
            assert token >= handed_out
            handed_out = token
        elif step == "invalidate":
            epoch = index.invalidate("a")
            assert epoch > handed_out
            handed_out = epoch
        else:
            clock.now += -1_000 if step == "back" else 1_000


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 7)), max_size=80),
    st.integers(1, 4),
)
def test_bounded_memory_never_revives_what_was_invalidated(
    steps: list[tuple[bool, int]], max_tags: int
) -> None:
    index = TagIndex(max_tags=max_tags, clock=FakeNanoClock())
    alive: list[tuple[int, Entry]] = []
    dead: list[Entry] = []
    for fill, tag in steps:
        if fill:
            alive.append((tag, entry(index, str(tag))))
            assert index.valid(alive[-1][1])
        else:
            index.invalidate(str(tag))
            dead += [kept for born, kept in alive if born == tag]
            alive = [(born, kept) for born, kept in alive if born != tag]
        assert not any(index.valid(kept) for kept in dead)
        assert len(index) <= max_tags


def test_a_fill_that_began_before_an_invalidation_is_not_admitted() -> None:
    index = TagIndex(clock=FakeNanoClock())
    before = index.now()
    index.invalidate("user:7", keys=["k"], prefix="fn:users:")
    assert not index.admits("other", ["user:7"], before)
    assert not index.admits("k", [], before)
    assert not index.admits("fn:users:1", [], before)
    assert index.admits("other", ["user:8"], before)
    after = index.now()
    assert index.admits("k", ["user:7"], after)
    assert index.admits("fn:users:1", [], after)


def test_dropped_keys_and_prefixes_refuse_old_fills() -> None:
    index = TagIndex(max_tags=2, max_prefixes=2, clock=FakeNanoClock())
    before = index.now()
    for number in range(5):
        index.invalidate(keys=[f"key{number}"])
    assert not index.admits("key0", [], before)
    before = index.now()
    for number in range(5):
        index.invalidate(prefix=f"prefix{number}")
    assert not index.admits("prefix0/x", [], before)
    assert index.admits("prefix0/x", [], index.now())


def test_an_invalidation_seen_elsewhere_counts_here() -> None:
    index = TagIndex(clock=FakeNanoClock())
    kept = entry(index, "a")
    assert index.valid(kept)
    index.observe("a", kept.epoch + 5)
    assert not index.valid(kept)
    assert index.now() >= kept.epoch + 5
    known = index.epoch
    index.observe("a", kept.epoch)
    assert index.epoch == known


@given(
    st.lists(st.tuples(st.text("ab", max_size=4), st.booleans()), max_size=30),
    st.text("ab", max_size=6),
    st.integers(1, 5),
)
def test_a_prefix_reaches_what_begins_so_and_forgetting_is_safe(
    purges: list[tuple[str, bool]], key: str, max_prefixes: int
) -> None:
    index = TagIndex(max_prefixes=max_prefixes, clock=FakeNanoClock())
    before = index.now()
    kept = Entry(1, epoch=before)
    for prefix, soft in purges:
        index.invalidate(prefix=prefix, soft=soft)
    hard = any(key.startswith(prefix) for prefix, soft in purges if not soft)
    mild = any(key.startswith(prefix) for prefix, soft in purges if soft)
    forgotten = len({prefix for prefix, soft in purges if not soft}) > max_prefixes
    assert index.admits(key, [], before) == (not hard and not forgotten)
    if len({prefix for prefix, soft in purges if soft}) <= max_prefixes:
        assert (index.softened_at(key, kept) > 0) == mild
    elif mild:
        assert index.softened_at(key, kept) > 0
    assert index.admits(key, [], index.now())
