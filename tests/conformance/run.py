"""How far ``perfmw proxy`` keeps to the specifications, case by case.

    python -m tests.conformance.run [--rfc/--safe] [--all] [words in the ids of the cases to run]

Prints the cases that fail (with ``--all`` every case) and, by topic, how many pass.
"""

from __future__ import annotations

import asyncio
import sys

from tests.conformance.cases import TOPICS
from tests.conformance.engine import run


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    chosen = {
        topic: [case for case in cases if not words or any(word in case.id for word in words)]
        for topic, cases in TOPICS.items()
    }
    options = [] if "--safe" in sys.argv else ["--rfc"]
    problems = asyncio.run(run([case for cases in chosen.values() for case in cases], *options))
    for cases in chosen.values():
        for case in cases:
            if problems[case.id] or "--all" in sys.argv:
                print(f"{case.id:32} {case.section:14} {case.level:9} {problems[case.id] or 'ok'}")
    totals = [0, 0, 0, 0]
    for topic, cases in chosen.items():
        counts = []
        for level in ("required", "optimal"):
            of_level = [case for case in cases if case.level == level]
            counts += [sum(not problems[case.id] for case in of_level), len(of_level)]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        print("{:12} required {:>3} of {:<3}  optimal {:>3} of {:<3}".format(topic, *counts))
    print("{:12} required {:>3} of {:<3}  optimal {:>3} of {:<3}".format("all", *totals))
    return int(any(problems.values()))


if __name__ == "__main__":
    sys.exit(main())
