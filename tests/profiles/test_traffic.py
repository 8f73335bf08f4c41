"""What the cache did for a target: sums that add up over recorders, workers and restarts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perfmw.profiles.packing import pack, unpack
from perfmw.profiles.reading import Reading
from perfmw.profiles.recorder import Recorder
from perfmw.profiles.traffic import Traffic

counts = st.integers(0, 2**40)
traffics = st.builds(Traffic, counts, counts, st.floats(0, 1e6), counts, counts, counts)


@given(traffics, traffics)
def test_what_was_added_is_the_difference(one: Traffic, two: Traffic) -> None:
    total = one.copy()
    total.add(two)
    difference = total - one
    assert difference.hit_bytes == two.hit_bytes
    assert abs(difference.saved - two.saved) < 1e-6
    assert (one - total) == Traffic() or difference.numbers() != Traffic().numbers()


@given(traffics)
def test_it_survives_packing(traffic: Traffic) -> None:
    assert unpack(pack(Reading(traffic=traffic))).traffic == traffic


def test_a_reading_has_it_before_and_after_a_drain() -> None:
    for compact in (False, True):
        recorder = Recorder("GET /", compact=compact)
        recorder.hit(0.001)
        recorder.traffic.hit_bytes += 10
        recorder.traffic.saved += 0.5
        before = recorder.reading()
        recorder.drain()
        assert recorder.reading().traffic == before.traffic == Traffic(hit_bytes=10, saved=0.5)


def test_who_takes_another_recorders_place_counts_on() -> None:
    old, new = Recorder("GET /a"), Recorder("other")
    old.traffic.fills += 2
    new.traffic.fills += 1
    new.absorb(old.reading())
    assert new.reading().traffic.fills == 3
    assert (new.reading() - old.reading()).traffic.fills == 1
    assert (old.reading() + new.reading()).traffic.fills == 5
