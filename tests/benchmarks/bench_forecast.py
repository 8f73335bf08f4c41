"""Forecaster an hour ahead, against the same time yesterday and against "as now", on request rates.

    PERFMW_DATA=... python -m tests.benchmarks.bench_forecast [--json]

MASE here: the mean absolute error over that of the seasonal naive forecast, from the second day on. The made
series are a daily and weekly profile times lasting noise, with Poisson's spread; seeds 1 to 5. Recorded are a
load balancer's requests (two weeks) and a blog's log; the blog has few requests an hour, so chance alone
keeps its figure near 1.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from perfmw.resources import Forecaster

DAY, HOUR = 86400.0, 3600.0
Rows = Sequence[tuple[float, float]]
_TIME = re.compile(r"\[(\d+/\w+/\d+:\d+:\d+:\d+)")


def made(days: int, bucket: float, noise: float, lasting: float, mean: float, seed: int) -> Rows:
    """A request rate: ``lasting`` is the share of the noise that is there an hour later."""
    chance, rows, off = random.Random(seed), [], 0.0
    share, phase = lasting ** (bucket / HOUR), random.Random(seed).random() * 6.0
    for index in range(int(days * DAY / bucket)):
        at = 19_600 * DAY + index * bucket
        turn = 2.0 * math.pi * at / DAY
        usual = 1.0 + 0.6 * math.sin(turn + phase) + 0.2 * math.sin(2.0 * turn + 2.0 * phase)
        usual *= 0.6 if int(at // DAY) % 7 in (2, 3) else 1.0
        off = share * off + noise * math.sqrt(1.0 - share * share) * chance.gauss(0.0, 1.0)
        rate = max(0.5, mean * usual * math.exp(off))
        rows.append((at, max(0.0, chance.gauss(rate, math.sqrt(rate)))))
    return rows


def recorded(path: Path, bucket: float) -> Rows:
    """Requests a bucket of an access log."""
    with gzip.open(path, "rt", errors="replace") as lines:
        counts = Counter(int(at // bucket) for at in _times(lines))
    return [(index * bucket, float(counts[index])) for index in range(min(counts), max(counts) + 1)]


def counted(path: Path, bucket: float) -> Rows:
    """A recorded series of ``timestamp,value``, added up by buckets; a bucket with nothing in it has none."""
    sums: Counter[int] = Counter()
    with gzip.open(path, "rt") as lines:
        for line in [*lines][1:]:
            stamp, value = line.strip().split(",")[:2]
            at = datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
            sums[int(at // bucket)] += float(value)  # type: ignore[assignment]
    return [(index * bucket, float(total)) for index, total in sorted(sums.items())]


def _times(lines: Iterable[str]) -> Iterable[float]:
    for line in lines:
        found = _TIME.search(line)
        if found:
            yield datetime.strptime(found[1], "%d/%b/%Y:%H:%M:%S").replace(tzinfo=UTC).timestamp()


def judge(rows: Rows) -> dict[str, float]:
    """``mase``, and the error over that of the better naive forecast."""
    forecaster, step = Forecaster(), rows[1][0] - rows[0][0]
    known = {round(at / step): value for at, value in rows}
    errors = [0.0, 0.0, 0.0]
    for at, value in rows:
        forecaster.update(at, value)
        due = round((at + HOUR) / step)
        day_ago = due - round(DAY / step)
        if at - rows[0][0] < DAY or due not in known or day_ago not in known:
            continue
        told = (forecaster.forecast(HOUR), known[day_ago], value)
        errors = [error + abs(one - known[due]) for error, one in zip(errors, told, strict=True)]
    return {"mase": errors[0] / errors[1], "of_better_naive": errors[0] / min(errors[1:])}


def measure() -> dict[str, dict[str, float]]:
    figures = {
        "made, 5 min, 100 a bucket": judge(made(20, 300, 0.25, 0.8, 100, 1)),
        "made, 5 min, 30 a bucket": judge(made(14, 300, 0.4, 0.9, 30, 2)),
        "made, 15 min, 300 a bucket": judge(made(28, 900, 0.2, 0.7, 300, 3)),
        "made, 1 h, 2,000 a bucket": judge(made(40, 3600, 0.25, 0.85, 2000, 4)),
        "made, 1 h, 5,000 a bucket": judge(made(40, 3600, 0.1, 0.5, 5000, 5)),
    }
    if "PERFMW_DATA" in os.environ:
        data = Path(os.environ["PERFMW_DATA"])
        log = data / "logs" / "blog-2015.log.gz"
        balancer = data / "anomaly" / "realAWSCloudwatch" / "elb_request_count_8c0756.csv.gz"
        for bucket in (300.0, 900.0, 3600.0):
            figures[f"a load balancer, {bucket:.0f} s"] = judge(counted(balancer, bucket))
        for bucket in (900.0, 3600.0):
            figures[f"a blog, {bucket:.0f} s"] = judge(recorded(log, bucket))
    return figures


def main() -> None:
    figures = measure()
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    for name, row in figures.items():
        told = (row["mase"], 0.65, "MASE"), (row["of_better_naive"], 1.05, "over the better naive")
        for value, most, what in told:
            verdict = "ok" if value <= most else "FAILS"
            print(f"{f'{name}: {what}':52} {value:9.2f} needs <= {most:<7} {verdict}")


if __name__ == "__main__":
    main()
