"""The table: every case, by topic."""

from tests.conformance.cases import (
    conditional,
    directives,
    freshness,
    further,
    methods,
    partial,
    stale,
    storing,
    targeted,
    variants,
)
from tests.conformance.model import Case

TOPICS: dict[str, list[Case]] = {
    "freshness": freshness.CASES,
    "directives": directives.CASES,
    "methods": methods.CASES,
    "conditional": conditional.CASES,
    "variants": variants.CASES,
    "partial": partial.CASES,
    "stale": stale.CASES,
    "storing": storing.CASES,
    "targeted": targeted.CASES,
    "further": further.CASES,
}
CASES: list[Case] = [case for cases in TOPICS.values() for case in cases]
