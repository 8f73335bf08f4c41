"""Settings that are tables: a frozen dataclass each, whose fields have kinds of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from perfmw.settings.kinds import BadValueError, Kind, SettingsError, complaint, did_you_mean

T = TypeVar("T")
REDACTED = "********"


def convert_fields(table: Any, kinds: Mapping[str, Kind]) -> None:
    """Check a new table's fields and keep them converted. Raises SettingsError."""
    for name, kind in kinds.items():
        value = getattr(table, name)
        try:
            converted = kind.convert(value)
        except ValueError as error:
            raise SettingsError(complaint(name, value, "", kind, error)) from None
        object.__setattr__(table, name, converted)


def read_mapping(value: object) -> Mapping[Any, Any]:
    """A table given as such, or in the environment as a JSON object. Raises BadValueError."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise BadValueError(f"is not JSON: {error}") from None
    if not isinstance(value, Mapping):
        raise BadValueError
    return value


def read_table(cls: type[T], value: Any, what: str) -> T:
    """A ``cls`` made of a table. Raises BadValueError that begins with ``what``."""
    if isinstance(value, cls):
        return value
    try:
        if not isinstance(value, Mapping):
            raise SettingsError(f"{value!r} is not a table")
        known = [option.name for option in fields(cls)]  # type: ignore[arg-type]  # cls is a dataclass
        for key in value:
            if key not in known:
                hint = did_you_mean(str(key), known) or f"; there are {', '.join(known)}"
                raise SettingsError(f"unknown key {key!r}{hint}")
        return cls(**value)
    except SettingsError as error:
        raise BadValueError(f"{what}: {error}") from None


def plain(value: Any, hide: bool) -> Any:
    """A setting as JSON knows it; with ``hide`` asterisks stand for it, or for what is secret in a table."""
    shown = getattr(value, "shown", None)
    if shown is not None:
        return shown(hide)
    if hide and value is not None:
        return REDACTED
    if is_dataclass(value):
        return {option.name: plain(getattr(value, option.name), False) for option in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(item, False) for name, item in value.items()}
    return [plain(item, False) for item in value] if isinstance(value, tuple) else value
