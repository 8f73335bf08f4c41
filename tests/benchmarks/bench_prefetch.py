"""Prefetching on access logs: hit points gained, the share of prefetches used, bytes more from the origin.

Run it as a script: ``python -m tests.benchmarks.bench_prefetch [LOG ...] [--json]``. Logs are in common or
combined format, or as the EPA's of 1995 (``client [day:hh:mm:ss] "request" status bytes``), and may be
gzipped; without any, those in the folder that PERFMW_DATA names. LRU of 100 entries, TTL 300 s, the first
30% of each log is warm-up.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from perfmw.learning import Prefetcher, rehearse_prefetch
from perfmw.learning.rehearsal import Request
from tests.benchmarks.verdicts import told

LINE = re.compile(r'(\S+) (?:\S+ \S+ )?\[([^\]]+)\] "GET (\S+)[^"]*" (200|304) (\d+|-)')
EMBEDDED = re.compile(
    r"\.(?:gif|jpe?g|png|ico|css|js|xbm|bmp|svg|woff2?|ttf|eot|webp|mp3|mp4|mpe?g|avi|mov|au|wav|zip|gz|exe)$",
    re.IGNORECASE,
)


def _moment(text: str) -> float:
    if "/" in text:
        return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp()
    day, hour, minute, second = map(int, text.split(":"))
    # the EPA's log begins on the 29th of August and ends on the 30th
    return (day % 29) * 86_400.0 + hour * 3_600 + minute * 60 + second


def requests_of(path: Path) -> list[Request]:
    opener = gzip.open if path.suffix == ".gz" else open
    found: list[Request] = []
    sizes: dict[str, int] = {}
    with opener(path, "rt", errors="replace") as lines:
        for line in lines:
            match = LINE.match(str(line))
            if match:
                client, moment, url, _, size = match.groups()
                sizes[url] = max(sizes.get(url, 0), 0 if size == "-" else int(size))
                found.append((client, url, _moment(moment), 0))
    found.sort(key=lambda request: request[2])
    return [(client, url, moment, sizes[url]) for client, url, moment, _ in found]


def logs(given: list[Path]) -> Iterator[tuple[str, list[Request]]]:
    folder = os.environ.get("PERFMW_DATA")
    for path in given or (sorted((Path(folder) / "logs").glob("*.log.gz")) if folder else []):
        everything = requests_of(path)
        yield f"{path.name} all", everything
        yield f"{path.name} pages", [one for one in everything if not EMBEDDED.search(one[1].split("?")[0])]


def measure(name: str, requests: list[Request]) -> dict[str, Any]:
    without = rehearse_prefetch(requests, None)
    learned = rehearse_prefetch(requests, Prefetcher())
    prefetcher = Prefetcher()
    began = time.process_time()
    for request in requests:
        prefetcher.observe(*request)
    spent = time.process_time() - began
    return {
        "log": name,
        "requests": len(requests),
        "hit_ratio_before": without.hit_ratio,
        "points": 100 * (learned.hit_ratio - without.hit_ratio),
        "prefetches": learned.prefetches,
        "used": learned.precision,
        "more_bytes": learned.origin_bytes / max(without.origin_bytes, 1) - 1,
        "us_an_observation": spent / len(requests) * 1e6,
    }


def judged(row: dict[str, Any]) -> bool:
    name, pages = row["log"], str(row["log"]).endswith("pages")
    good = told(f"{name}: gain", row["points"], least=3.0 if pages else 10.0, unit="points")
    good &= told(f"{name}: used", 100 * row["used"], least=50.0 if pages else 75.0, unit="%")
    good &= told(f"{name}: more bytes", 100 * row["more_bytes"], most=20.0, unit="%")
    return told(f"{name}: an observation", row["us_an_observation"], most=12.0, unit="us") and good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", nargs="*", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = [measure(name, requests) for name, requests in logs(options.logs)]
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for row in found:
        print(
            f"{row['log']:28} {row['requests']:6} requests, {row['hit_ratio_before']:.1%} hits before,"
            f" {row['points']:+.1f} points, {row['used']:.0%} of {row['prefetches']} used,"
            f" bytes {row['more_bytes']:+.1%}, {row['us_an_observation']:.1f} us"
        )
    good = sum(judged(row) for row in found) == len(found)
    if not found:
        print("no logs: name some, or a folder of them in PERFMW_DATA", file=sys.stderr)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
