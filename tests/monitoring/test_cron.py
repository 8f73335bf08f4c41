from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw.monitoring.cron import MaintenanceWindow, Schedule


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("line", "after", "expected"),
    [
        ("hourly", "2026-03-01T10:00:00", "2026-03-01T11:00"),
        ("daily", "2026-03-01T10:00:00", "2026-03-02T00:00"),
        ("weekly", "2026-03-01T10:00:00", "2026-03-02T00:00"),  # the 2nd is a Monday
        ("*/15 * * * *", "2026-03-01T10:00:30", "2026-03-01T10:15"),
        ("30 8 * * mon-fri", "2026-03-06T09:00:00", "2026-03-09T08:30"),
        ("0 0 29 2 *", "2026-03-01T00:00:00", "2028-02-29T00:00"),
        ("0 12 13 * fri", "2026-03-01T00:00:00", "2026-03-06T12:00"),  # day or weekday
        (
            "0 12 */2 * fri",
            "2026-03-01T00:00:00",
            "2026-03-13T12:00",
        ),  # day and weekday: a star restricts nothing
        ("5,10-12 3 1 jan,jul *", "2026-03-01T00:00:00", "2026-07-01T03:05"),
        ("0 0 * * 7", "2026-03-02T00:00:00", "2026-03-08T00:00"),
        ("50/5 * * * *", "2026-03-01T10:00:00", "2026-03-01T10:50"),
    ],
)
def test_the_next_time(line: str, after: str, expected: str) -> None:
    assert Schedule.parse(line).next(at(after)) == at(expected)


@pytest.mark.parametrize(
    "line",
    ["", "fortnightly", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
     "5-1 * * * *", "*/0 * * * *", "a * * * *", "0 0 31 2 *", "- * * * *", "1,, * * * *"],
)  # fmt: skip
def test_what_is_no_schedule(line: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Schedule.parse(line)


fields = st.tuples(
    st.sampled_from(["*", "0", "*/7", "5-20", "59"]),
    st.sampled_from(["*", "3", "*/5", "22-23"]),
    st.sampled_from(["*", "1", "31", "*/10"]),
    st.sampled_from(["*", "2", "jan-mar", "12"]),
    st.sampled_from(["*", "sun", "1-5"]),
)


@given(fields, st.integers(0, 2**31))
def test_the_next_time_is_the_first_that_matches(parts: tuple[str, ...], after: int) -> None:
    if parts[2] == "31" and parts[3] == "2" and parts[4] == "*":
        return
    schedule = Schedule.parse(" ".join(parts))
    found = schedule.next(float(after))
    assert found is not None
    assert found > after
    assert schedule.matches(datetime.fromtimestamp(found, UTC))
    moment = datetime.fromtimestamp(after, UTC).replace(second=0, microsecond=0)
    for _ in range(500):
        moment += timedelta(minutes=1)
        if moment.timestamp() >= found:
            break
        assert not schedule.matches(moment)


def test_a_maintenance_window() -> None:
    window = MaintenanceWindow(Schedule.parse("0 2 * * sun"), 7200.0, "sundays")
    times = ["2026-03-01T01:59:59", "2026-03-01T02:00:00", "2026-03-01T03:59:59", "2026-03-01T04:00:00"]
    assert [window.covers(at(text)) for text in times] == [False, True, True, False]
    assert not window.covers(at("2026-03-02T02:30:00"))
