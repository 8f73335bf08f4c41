"""Which stored response a request selects: Vary, normalised field by field (section 4.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from perfmw.http.fields import MEMO_LONGEST, names_in, split_list
from perfmw.http.messages import Fields, Headers

Values = tuple[bytes | None, ...]

_RAW = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"user-agent", b"origin"})
_QVALUE = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_SPACES = re.compile(rb"[ \t]+")
_ORDERED_BY_QUALITY = frozenset({b"accept", b"accept-encoding", b"accept-language", b"accept-charset"})


def vary_names(fields: Fields, extra: Sequence[bytes] = ()) -> tuple[bytes, ...] | None:
    """Names that select the response, sorted; None when a ``*`` among them says nothing ever matches."""
    if not extra and b"vary" not in fields:
        return ()
    names = {*names_in(fields.get(b"vary", b"")), *extra}
    return None if b"*" in names else tuple(sorted(names))


def selecting_values(fields: Fields, names: tuple[bytes, ...], *, strict: bool) -> Values:
    """The request's values for these names, normalised; None where the field is absent."""
    return tuple(
        normalise(name, value, strict) if (value := fields.get(name)) is not None else None for name in names
    )


def normalise(name: bytes, value: bytes, strict: bool) -> bytes:
    """A value such that equal meanings give equal bytes, without giving equal bytes to unequal ones.

    Lists lose their white space and line breaks. Accept fields lose case and, sorted by quality, order:
    among equal qualities the order is kept unless ``strict``, since apps do read it as a preference.
    """
    if name in _RAW:
        return value.strip()
    return _remembered(name, value, strict) if len(value) <= MEMO_LONGEST else _normalise(name, value, strict)


def _normalise(name: bytes, value: bytes, strict: bool) -> bytes:
    if name not in _ORDERED_BY_QUALITY:
        return b",".join(_SPACES.sub(b" ", member) for member in split_list(value))
    ranked = list(qualities(value).items())
    ranked.sort(key=lambda item: (-item[1], item[0] if strict else b""))
    return b",".join(
        b"%s;q=0.%03d" % (member, quality) if quality < 1000 else member for member, quality in ranked
    )


_remembered = lru_cache(maxsize=1024)(_normalise)


def qualities(value: bytes) -> dict[bytes, int]:
    """Members of an Accept field in their order -> quality in thousandths (RFC 9110 section 12.4.2)."""
    found: dict[bytes, int] = {}
    for member in split_list(value.lower()):
        parts = [_SPACES.sub(b"", part) for part in member.split(b";")]
        weight = next((part[2:] for part in parts[1:] if part.startswith(b"q=")), b"1")
        quality = round(float(weight) * 1000) if _QVALUE.fullmatch(weight) else 1000
        found.setdefault(b";".join(part for part in parts if not part.startswith(b"q=")), quality)
    return found


def selects(
    fields: Fields, names: tuple[bytes, ...], values: Values, headers: Headers, *, strict: bool
) -> bool:
    """Whether a request with these fields selects a response stored with these values.

    Where Accept-Language or Accept-Encoding differ, the stored response still is the right one if the
    negotiation that chose it would choose it again (its headers say what was chosen).
    """
    for name, stored in zip(names, values, strict=True):
        sent = fields.get(name)
        wanted = None if sent is None else normalise(name, sent, strict)
        if wanted == stored:
            continue
        negotiate = _NEGOTIATED.get(name)
        if negotiate is None or not negotiate(wanted, stored, headers, strict):
            return False
    return True


def _chosen(headers: Headers, name: bytes) -> bytes:
    return next((value.strip().lower() for header, value in headers if header == name), b"")


def _same_language(wanted: bytes | None, stored: bytes | None, headers: Headers, strict: bool) -> bool:
    """The stored language is the most wanted one, once those known not to exist are left out.

    A language that the earlier request preferred to the one it got does not exist here.
    """
    language = _chosen(headers, b"content-language")
    if not language or wanted is None or b"," in language:
        return False
    now = _ranking(wanted, strict)
    missing = _preferred(_ranking(stored or b"", strict), language)
    return language in now and not _preferred(now, language) - missing and not _tied(now, language)


def _ranking(normalised: bytes, strict: bool) -> dict[bytes, float]:
    """Language -> rank, the larger the more wanted; the order breaks ties unless ``strict``."""
    ranks = qualities(normalised)
    step = 0.0 if strict else 1e-3
    return {name: quality - step * place for place, (name, quality) in enumerate(ranks.items()) if quality}


def _preferred(ranks: dict[bytes, float], language: bytes) -> set[bytes]:
    mine = ranks.get(language)
    return set() if mine is None else {name for name, rank in ranks.items() if rank > mine}


def _tied(ranks: dict[bytes, float], language: bytes) -> bool:
    return sum(1 for rank in ranks.values() if rank == ranks[language]) > 1


def _same_encoding(wanted: bytes | None, stored: bytes | None, headers: Headers, strict: bool) -> bool:
    """A coding chosen among many is chosen again among fewer, as long as it is one of the best wanted."""
    coding = _chosen(headers, b"content-encoding") or b"identity"
    now, then = _codings(wanted), _codings(stored)
    if coding not in now or not now.keys() <= then.keys():
        return False
    return coding == b"identity" or now[coding] == max(now.values())


def _codings(value: bytes | None) -> dict[bytes, int]:
    """Acceptable codings -> quality; identity always is unless excluded (RFC 9110 section 12.5.3)."""
    found = qualities(value or b"")
    excluded = found.get(b"identity", found.get(b"*", 1)) == 0
    codings = {name: quality for name, quality in found.items() if quality}
    if not excluded:
        codings.setdefault(b"identity", 1)
    return codings


_NEGOTIATED: dict[bytes, Callable[[bytes | None, bytes | None, Headers, bool], bool]] = {
    b"accept-language": _same_language,
    b"accept-encoding": _same_encoding,
}
