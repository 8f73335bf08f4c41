"""What each kind of value may have of the memory that all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfmw.settings.kinds import PRICE, SHARE, BadValueError, Kind, did_you_mean
from perfmw.settings.tables import convert_fields, read_mapping, read_table

KINDS_OF_VALUES = ("content", "api", "functions")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPart:
    """The least and the most share of the memory, 0..1, should it be given out in parts; and what a miss of
    this kind costs for each byte, relative to the others. Raises SettingsError.
    """

    floor: float = 0.0
    cap: float = 1.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        convert_fields(self, {"floor": SHARE, "cap": SHARE, "weight": PRICE})


PART_REFERENCE: dict[str, tuple[str, str]] = {
    "floor": (SHARE.allowed, "The least share of the memory it has."),
    "cap": (SHARE.allowed, "The largest share of the memory it has."),
    "weight": (PRICE.allowed, "What a miss costs for each byte, relative to the other kinds."),
}
"""Field of a part -> what it takes, and its sentence in the reference."""


class MemoryParts(dict[str, MemoryPart]):
    """Parts by kind of value, as a value: it is not changed once it is made."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return hash(frozenset(self.items()))


def read_parts(value: object) -> Mapping[str, MemoryPart]:
    """Tables by kind; in the environment a JSON object. Raises BadValueError."""
    parts = MemoryParts(
        (_known(kind), read_table(MemoryPart, table, f"part {kind!r}"))
        for kind, table in read_mapping(value).items()
    )
    if sum(part.floor for part in parts.values()) > 1:
        raise BadValueError("the floors of all together must not be above 1")
    for kind, part in parts.items():
        if part.floor > part.cap:
            raise BadValueError(f"part {kind!r}: the floor must not be above the cap")
    return parts


def _known(kind: object) -> str:
    if kind not in KINDS_OF_VALUES:
        hint = did_you_mean(str(kind), KINDS_OF_VALUES)
        raise BadValueError(f"{kind!r} is no kind of value{hint}; there are {', '.join(KINDS_OF_VALUES)}")
    return str(kind)


MEMORY_PARTS = Kind("tables by kind of value (in the environment: as JSON)", read_parts)
