"""Forecaster an hour ahead, against the same time yesterday and against "as now", on request rates.

    PERFMW_DATA=... python -m tests.benchmarks.bench_forecast [--json | --bounds | --definitions]

MASE here: the mean absolute error over that of the seasonal naive forecast, from the second day on. The made
series are a daily and weekly profile times lasting noise, with Poisson's spread; seeds 1 to 5. Recorded are a
load balancer's requests (two weeks), a blog's log and what two machines received.

``--definitions`` tells it by others too: of the second half of a series alone, against a day ago and against
a week ago; and as Hyndman and Koehler (2006) scale it, by the naive error in the first half.

``--bounds`` (needs NumPy) tells what could have been reached: the error of the best linear forecast, chosen
with the whole series known, from fifteen facts (levels, the same time on the days before, profiles, medians).
Nobody can choose that beforehand. Where a value is chance alone, yesterday's errs by two chances and a
forecast by one: 1/sqrt(2) = 0.71 for normal noise, whatever the method.
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
from typing import Any

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


def by_definition(rows: Rows) -> dict[str, float]:
    """MASE of the second half: over the naive errors there, and over that in the first half."""
    forecaster, step = Forecaster(), rows[1][0] - rows[0][0]
    known = {round(at / step): value for at, value in rows}
    middle = (rows[0][0] + rows[-1][0]) / 2.0
    off: list[float] = []
    naive: dict[str, tuple[list[float], list[float]]] = {"day": ([], []), "week": ([], [])}
    for at, value in rows:
        forecaster.update(at, value)
        due = round((at + HOUR) / step)
        if due not in known:
            continue
        late = at >= middle
        if late:
            off.append(abs(forecaster.forecast(HOUR) - known[due]))
        for (_, errors), days in zip(naive.items(), (1, 7), strict=True):
            if (ago := due - round(days * DAY / step)) in known:
                errors[late].append(abs(known[ago] - known[due]))
    mean = {name: [sum(one) / len(one) if one else math.nan for one in both] for name, both in naive.items()}
    error = sum(off) / len(off)
    return {
        "second half": error / mean["day"][1],
        "scaled by the first half, day": error / mean["day"][0],
        "second half, week": error / mean["week"][1],
    }


def all_series() -> dict[str, Rows]:
    found = {
        "made, 5 min, 100 a bucket": made(20, 300, 0.25, 0.8, 100, 1),
        "made, 5 min, 30 a bucket": made(14, 300, 0.4, 0.9, 30, 2),
        "made, 15 min, 300 a bucket": made(28, 900, 0.2, 0.7, 300, 3),
        "made, 1 h, 2,000 a bucket": made(40, 3600, 0.25, 0.85, 2000, 4),
        "made, 1 h, 5,000 a bucket": made(40, 3600, 0.1, 0.5, 5000, 5),
    }
    if "PERFMW_DATA" not in os.environ:
        return found
    data = Path(os.environ["PERFMW_DATA"])
    cloud = data / "anomaly" / "realAWSCloudwatch"
    for bucket in (300.0, 900.0, 3600.0):
        balancer = cloud / "elb_request_count_8c0756.csv.gz"
        found[f"a load balancer, {bucket:.0f} s"] = counted(balancer, bucket)
    for bucket in (900.0, 3600.0):
        found[f"a blog, {bucket:.0f} s"] = recorded(data / "logs" / "blog-2015.log.gz", bucket)
    for name in ("ec2_network_in_257a54", "iio_us-east-1_i-a2eb1cd9_NetworkIn"):
        found[f"bytes received, {name[:3]}, 900 s"] = counted(cloud / f"{name}.csv.gz", 900.0)
    return found


def measure() -> dict[str, dict[str, float]]:
    return {name: judge(rows) for name, rows in all_series().items()}


# ---- what could have been reached


def facts_of(rows: Rows) -> tuple[Any, Any, float]:
    """What is known at each time with one hour and one day around it, what came, and the naive error."""
    import numpy as np

    step = rows[1][0] - rows[0][0]
    hour, day, first = round(HOUR / step), round(DAY / step), round(rows[0][0] / step)
    values = np.full(round(rows[-1][0] / step) - first + 1, np.nan)
    for at, value in rows:
        values[round(at / step) - first] = value
    known = values.copy()
    for index in np.flatnonzero(np.isnan(known)):
        known[index] = known[index - 1]
    wide = max(1, hour // 2)
    around = np.array([known[max(0, at - wide) : at + wide + 1].mean() for at in range(len(known))])
    memories, levels, facts, came = (2, 6, 12, 48), [known[0]] * 4, [], []
    for now in range(len(known) - hour):
        shares = [1.0 - math.exp(-1.0 / one) for one in memories]
        levels = [old + share * (known[now] - old) for old, share in zip(levels, shares, strict=True)]
        due = now + hour
        if now < day or np.isnan(values[[due, due - day, now]]).any():
            continue
        before = [around[due - day * ago] for ago in range(1, 8) if due >= day * ago]
        then = [around[now - day * ago] for ago in range(1, 8) if now >= day * ago]
        lately = known[max(0, now - 2 * hour + 1) : now + 1]
        week = before[6] if len(before) > 6 else np.mean(before)
        facts.append([1.0, known[now], *levels, before[0], np.mean(before), np.median(before), week])
        facts[-1] += [np.mean(then), lately[-hour:].mean(), np.median(lately), known[due - day]]
        facts[-1].append(known[now - day])
        came.append((values[due], abs(values[due - day] - values[due])))
    return np.array(facts), np.array([one for one, _ in came]), sum(naive for _, naive in came)


def bound(rows: Rows) -> float:
    """The MASE of the linear forecast with the least absolute error, by reweighted least squares."""
    import numpy as np

    facts, came, naive = facts_of(rows)
    weights = np.linalg.lstsq(facts, came, rcond=None)[0]
    best = np.abs(came - facts @ weights).sum()
    for _ in range(60):
        each = 1.0 / np.maximum(np.abs(came - facts @ weights), 1e-6 * np.abs(came).mean())
        scaled = facts * np.sqrt(each)[:, None]
        weights = np.linalg.lstsq(scaled, came * np.sqrt(each), rcond=None)[0]
        best = min(best, np.abs(came - facts @ weights).sum())
    return float(best / naive)


def main() -> None:
    if "--bounds" in sys.argv:
        for name, rows in all_series().items():
            print(f"{name:32} MASE {judge(rows)['mase']:.3f}, with hindsight {bound(rows):.3f}", flush=True)
        return
    if "--definitions" in sys.argv:
        for name, rows in all_series().items():
            others = ", ".join(f"{what} {value:.2f}" for what, value in by_definition(rows).items())
            print(f"{name:32} MASE from the second day on {judge(rows)['mase']:.2f}, {others}", flush=True)
        return
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
