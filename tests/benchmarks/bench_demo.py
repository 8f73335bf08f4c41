"""What ``perfmw demo`` shows, beside what it should: one run of a minute, nothing preset.

    python -m tests.benchmarks.bench_demo [--seconds 60]

Cacheable are requests without cookies for pages that are the same for all, and for more than a moment: all
but ``/deals`` and ``/welcome``. ``origin calls`` are those of the shop for them, per 1,000 of them. Every
answer of the run is compared with that of the same shop without a cache.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any


def run(seconds: float) -> dict[str, Any]:
    """One demonstration, as its ``--json`` tells it."""
    command = [sys.executable, "-m", "perfmw.cli", "demo", "--json", "--no-browser", "--no-stay"]
    done = subprocess.run([*command, "--seconds", str(seconds)], capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def figures(found: dict[str, Any]) -> list[tuple[str, float, str, bool]]:
    """(figure, value, what it needs, whether it has that)."""
    after, change, twin = found["after"], found["change"], found["twin"]
    wrong = twin["different"] + twin["not_compared"] + found["personal_pages"]["leaks"] + found["errors"]
    score, hits, origin = change["score"], after["cacheable_hit_rate"], change["origin_calls_per_1000"]
    return [
        ("score improvement", score, "> 0.40", score > 0.40),
        ("hit rate, cacheable", hits, "> 0.90", hits > 0.90),
        ("Apdex at the end", after["apdex"], "> 0.90", after["apdex"] > 0.90),
        ("origin calls", origin, "<= -0.80", origin <= -0.80),
        ("answers compared", twin["compared"], "> 0", twin["compared"] > 0),
        ("wrong, uncompared or failed", wrong, "0", wrong == 0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    found = run(given.seconds)
    print(f"{'figure':<30}{'value':>10}  {'needs':<10}verdict")
    for name, value, needs, good in figures(found):
        print(f"{name:<30}{value:>10.3f}  {needs:<10}{'met' if good else 'missed'}")
    for step in found["optimizations"]:
        print(f"  {step['verdict']}: {step['title']}: {step['reason']}")


if __name__ == "__main__":
    main()
