from __future__ import annotations

import pytest

from perfmw.learning import MissRatioCurve, Prices, economy, what_if


def test_memory_and_misses_have_their_price() -> None:
    prices = Prices(gb_hour=0.01, cpu_hour=0.36, origin_call=0.002)
    assert prices.memory(2 * 2**30, 1_800) == pytest.approx(0.01)
    assert prices.misses(1_000, cpu_seconds=0.1) == pytest.approx(1_000 * (0.002 + 0.00001))


def test_how_well_memory_is_spent() -> None:
    found = economy(
        Prices(gb_hour=1.0, cpu_hour=3.6, origin_call=0.0),
        hits=1_000,
        held_bytes=2**30,
        seconds=3_600,
        cpu_seconds=2.0,
    )
    assert found.memory_efficiency == pytest.approx(1_000 / 1_024)
    assert found.cost_efficiency == pytest.approx(2.0)
    assert found.in_words() == "1,000 hits, 1 for each MiB held; memory cost 1.0000 and spared 2.0000."
    assert economy(Prices(), hits=1, held_bytes=0, seconds=1).cost_efficiency is None


def test_what_twice_the_memory_would_give() -> None:
    curve = MissRatioCurve()
    for key in list(range(100)) * 10:
        curve.access(key)
    found = what_if(
        curve.curve, 60, reads_an_hour=10_000, miss_seconds=0.05, entry_bytes=1_000, prices=Prices(1.0, 3.6)
    )
    assert found.new_size == 120
    assert found.hits == pytest.approx(9_000)
    assert found.seconds_saved == pytest.approx(450)
    assert found.money_saved == pytest.approx(0.45)
    assert found.worth == pytest.approx(0.45 - 60_000 / 2**30)
    assert "+9,000 hits" in found.in_words()


def test_small_caches_are_told_in_small_units() -> None:
    curve = MissRatioCurve()
    told = [what_if(curve.curve, size, reads_an_hour=1).in_words("bytes") for size in (2_048, 3 * 2**20)]
    assert told[0].startswith("4.0 instead of 2.0 KiB would give")
    assert told[1].startswith("6.0 instead of 3.0 MiB would give")


def test_half_the_memory_costs_hits_and_spares_money() -> None:
    curve = MissRatioCurve()
    for key in list(range(100)) * 10:
        curve.access(key)
    found = what_if(curve.curve, 100, factor=0.5, reads_an_hour=1_000, entry_bytes=1_000)
    assert found.hits < 0 > found.memory_cost


@pytest.mark.parametrize(("size", "factor"), [(0, 2.0), (10, 0.0)])
def test_a_size_is_above_zero(size: int, factor: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        what_if(MissRatioCurve().curve, size, factor=factor, reads_an_hour=1)


def test_prices_are_not_negative() -> None:
    with pytest.raises(ValueError, match="prices"):
        Prices(gb_hour=-1)
