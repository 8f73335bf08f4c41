"""Kill -9 while the disk layer is written to: nothing acknowledged is lost, nothing is torn.

Run it whole: ``python -m tests.faults.kills --kills 200``. In each trial two processes write to one file and
are killed at random moments; then the file is opened by a third, which reads everything they had said was
written.
"""

from __future__ import annotations

import argparse
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from perfmw.cache import DiskLayer
from tests.benchmarks.verdicts import told

BOUND = 16 * 1024**3
"""So that nothing has to be evicted, which would look like a loss."""
OPENS_WITHIN = 0.05
LONGEST_LOG = 16 * 1024**2
SHARED = 10
"""Trials that go on with one file; it is read whole after each, which takes the longer the more there is."""
LONGEST = 0.4
"""Seconds that a writer writes at most."""

WRITER = """
import sys, zlib
from perfmw.cache.disk import DiskLayer
file = DiskLayer(sys.argv[1], max_bytes=int(sys.argv[4])).file
number = int(sys.argv[3])
while True:
    body = (sys.argv[2] + str(number)).encode() * (50 + number * 37 % 600)
    if file.set(f"{sys.argv[2]} {number}", zlib.crc32(body).to_bytes(4, "big") + body):
        print(number, flush=True)
    number += 1
"""


@dataclass
class Trial:
    """What came of one.

    ``opened``: seconds until the first read of the file was answered; ``log``: bytes of SQLite's log by then.
    """

    acknowledged: int = 0
    lost: int = 0
    torn: int = 0
    errors: int = 0
    opened: float = 0.0
    log: int = 0
    sound: bool = False


def kill_trial(path: Path, seconds: tuple[float, float], start: int) -> Trial:
    """Two writers on one file, each killed so many seconds after its first write."""
    writers = {name: _writer(path, name, start) for name in ("a", "b")}
    for writer in writers.values():
        if writer.stdout is None or writer.stdout.readline() != f"{start}\n":
            raise RuntimeError("a writer did not start")
    last, result = {}, Trial()
    began = time.perf_counter()
    for (name, writer), moment in sorted(zip(writers.items(), seconds, strict=True), key=lambda one: one[1]):
        time.sleep(max(0.0, moment - (time.perf_counter() - began)))
        writer.send_signal(signal.SIGKILL)
        last[name] = writer
    for writer in last.values():
        writer.wait()
    result.log = path.with_name(f"{path.name}-wal").stat().st_size
    for name, writer in last.items():
        said = writer.communicate()[0].split("\n")[:-1]  # what is after the last newline was not said whole
        _check(path, name, range(start, int(said[-1] if said else start) + 1), result)
    connection = sqlite3.connect(path)
    result.sound = connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    connection.close()
    return result


def _writer(path: Path, name: str, start: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), name, str(start), str(BOUND)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _check(path: Path, name: str, numbers: range, result: Trial) -> None:
    file = DiskLayer(path, max_bytes=BOUND).file
    began = time.perf_counter()
    file.get(f"{name} {numbers[0]}")
    result.opened = max(result.opened, time.perf_counter() - began)
    for number in numbers:
        value = file.get(f"{name} {number}")
        result.lost += value is None
        result.torn += value is not None and zlib.crc32(value[4:]).to_bytes(4, "big") != value[:4]
    result.acknowledged += len(numbers)
    result.errors += file.errors
    file.close()


def main() -> int:
    """Print what was lost; exit status 1 when it is anything, or when the file once opened too slowly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many writers to kill, two in a trial")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    source = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        trials = [
            kill_trial(
                Path(folder, f"{number // SHARED}.db"),
                (source.random() * LONGEST, source.random() * LONGEST),
                number * 1_000_000,
            )
            for number in range((options.kills + 1) // 2)
        ]
        size = sum(path.stat().st_size for path in Path(folder).glob("*.db"))
    lost, torn = sum(one.lost for one in trials), sum(one.torn for one in trials)
    errors, slowest = sum(one.errors for one in trials), max(one.opened for one in trials)
    acknowledged = sum(one.acknowledged for one in trials)
    print(f"{2 * len(trials)} kills: {acknowledged} acknowledged entries, {size / 1e6:.0f} MB")
    log = max(one.log for one in trials)
    unsound = sum(not one.sound for one in trials)
    held = [
        told("acknowledged entries lost", lost, most=0),
        told("entries torn", torn, most=0),
        told("errors", errors, most=0),
        told("unsound files", unsound, most=0),
        told("opened, the slowest", slowest * 1e3, most=OPENS_WITHIN * 1e3, unit="ms"),
        told("the longest log", log / 1024**2, most=LONGEST_LOG / 1024**2, unit="MiB"),
    ]
    return int(not all(held))


if __name__ == "__main__":
    sys.exit(main())
