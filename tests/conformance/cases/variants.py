"""Vary (RFC 9111 section 4.1; RFC 9110 section 12.5.5)."""

from __future__ import annotations

from tests.conformance.cases.build import HOUR, asked_again, case
from tests.conformance.model import Case, Level, Step

HERE = "9111 4.1"


def pair(
    id: str,
    level: Level,
    title: str,
    vary: str,
    first: list,
    second: list,
    expect: str,
    extra: list | None = None,
) -> Case:
    answer = [HOUR, ("Vary", vary), *(extra or [])]
    return case(
        f"vary-{id}",
        HERE,
        level,
        title,
        Step(send=first, answer=answer),
        Step(send=second, answer=answer, expect=expect),
    )


_MATCHING_FOO = [("Foo", "1")]
_MATCHING_THREE = [("Foo", "1"), ("Bar", "2"), ("Baz", "3")]
_MATCHING: list[Case] = [
    pair("match", "optimal", "equal fields", "Foo", _MATCHING_FOO, _MATCHING_FOO, "cached"),
    pair("differ", "required", "unequal fields", "Foo", _MATCHING_FOO, [("Foo", "2")], "origin"),
    pair("omitted", "required", "missing in the second request", "Foo", _MATCHING_FOO, [], "origin"),
    pair("omitted-first", "required", "missing in the first request", "Foo", [], _MATCHING_FOO, "origin"),
    pair("both-omitted", "optimal", "missing in both", "Foo", [], [], "cached"),
    pair("name-case", "optimal", "names ignore case", "FOO", _MATCHING_FOO, _MATCHING_FOO, "cached"),
    pair(
        "value-case",
        "required",
        "values of unknown fields keep case",
        "Foo",
        [("Foo", "a")],
        [("Foo", "A")],
        "origin",
    ),
    pair(
        "three", "optimal", "three equal fields", "Foo, Bar, Baz", _MATCHING_THREE, _MATCHING_THREE, "cached"
    ),
    pair(
        "three-differ",
        "required",
        "one of three differs",
        "Foo, Bar, Baz",
        _MATCHING_THREE,
        [*_MATCHING_THREE[:2], ("Baz", "4")],
        "origin",
    ),
    pair(
        "three-omitted",
        "required",
        "one of three is missing",
        "Foo, Bar, Baz",
        _MATCHING_THREE,
        _MATCHING_THREE[:2],
        "origin",
    ),
    pair(
        "three-order",
        "optimal",
        "the order of the fields",
        "Foo, Bar, Baz",
        _MATCHING_THREE,
        _MATCHING_THREE[::-1],
        "cached",
    ),
    pair(
        "other-field",
        "optimal",
        "another field differs",
        "Foo",
        [*_MATCHING_FOO, ("Other", "1")],
        [*_MATCHING_FOO, ("Other", "2")],
        "cached",
    ),
    pair("empty-value", "required", "empty is not missing", "Foo", [("Foo", "")], _MATCHING_FOO, "origin"),
    case(
        "vary-lines",
        HERE,
        "required",
        "several Vary lines",
        Step(send=[("Foo", "1"), ("Bar", "1")], answer=[HOUR, ("Vary", "Foo"), ("Vary", "Bar")]),
        Step(
            send=[("Foo", "1"), ("Bar", "2")],
            answer=[HOUR, ("Vary", "Foo"), ("Vary", "Bar")],
            expect="origin",
        ),
    ),
    case(
        "vary-two-stored",
        HERE,
        "optimal",
        "two variants are kept side by side",
        Step(send=_MATCHING_FOO, answer=[HOUR, ("Vary", "Foo")]),
        Step(send=[("Foo", "2")], answer=[HOUR, ("Vary", "Foo")], expect="origin"),
        Step(send=_MATCHING_FOO, expect="cached", from_step=1),
        Step(send=[("Foo", "2")], expect="cached", from_step=2),
    ),
    case(
        "vary-key",
        HERE,
        "optimal",
        "responses with different Vary are all selected by",
        Step(send=[("Foo", "1"), ("Bar", "1")], answer=[HOUR, ("Vary", "Foo")]),
        Step(send=[("Foo", "2"), ("Bar", "2")], answer=[HOUR, ("Vary", "Foo, Bar")], expect="origin"),
        Step(send=[("Foo", "2"), ("Bar", "2")], expect="cached", from_step=2),
        Step(send=[("Foo", "1"), ("Bar", "9")], expect="cached", from_step=1),
    ),
]


def _star() -> list[Case]:
    return [
        asked_again(
            f"vary-{name}", HERE, f"Vary: {value or 'empty'}", [HOUR, *(("Vary", part) for part in value)]
        )
        for name, value in {
            "star": ["*"],
            "star-after": ["Foo, *"],
            "star-before": ["*, Foo"],
            "star-twice": ["*, *"],
            "star-lines": ["", "*"],
            "star-empty": [", *"],
            "star-line": ["Foo", "*"],
        }.items()
    ]


_NORMALISED_LANG = "Accept-Language"


def _normalised_language(
    id: str, title: str, first: str, second: str, expect: str, level: Level = "optimal", chosen: str = ""
) -> Case:
    extra = [("Content-Language", chosen)] if chosen else None
    return pair(
        f"lang-{id}",
        level,
        title,
        _NORMALISED_LANG,
        [(_NORMALISED_LANG, first)],
        [(_NORMALISED_LANG, second)],
        expect,
        extra,
    )


_NORMALISED: list[Case] = [
    pair("space", "optimal", "white space in a list", "Foo", [("Foo", "1, 2")], [("Foo", "1,2")], "cached"),
    pair(
        "combined",
        "optimal",
        "two lines equal one",
        "Foo",
        [("Foo", "1, 2")],
        [("Foo", "1"), ("Foo", "2")],
        "cached",
    ),
    pair(
        "order",
        "required",
        "the order of an unknown list",
        "Foo",
        [("Foo", "1, 2")],
        [("Foo", "2, 1")],
        "origin",
    ),
    _normalised_language("case", "languages ignore case", "en, de", "eN, De", "cached"),
    _normalised_language("space", "white space", "en, de", " en ,   de", "cached"),
    _normalised_language("order", "the order of equal qualities", "en, de", "de, en", "cached"),
    _normalised_language("quality", "written-out qualities", "en;q=1.0, de;q=0.50", "en, de;q=0.5", "cached"),
    _normalised_language("select", "the language that was chosen", "en, de", "de", "cached", chosen="de"),
    _normalised_language("unlike", "another language", "en", "de", "origin", "required", chosen="en"),
    _normalised_language(
        "worse",
        "a language that was worse",
        "en;q=0.5, de;q=1",
        "fr, en;q=0.1",
        "origin",
        "required",
        chosen="de",
    ),
    _normalised_language("absent", "the field is missing", "en", "", "origin", "required"),
    pair(
        "encoding-order",
        "optimal",
        "the order of codings",
        "Accept-Encoding",
        [("Accept-Encoding", "gzip, br")],
        [("Accept-Encoding", "br, gzip")],
        "cached",
    ),
    pair(
        "encoding-differ",
        "required",
        "an unacceptable coding",
        "Accept-Encoding",
        [("Accept-Encoding", "foo")],
        [("Accept-Encoding", "bar")],
        "origin",
        [("Content-Encoding", "foo")],
    ),
]


_TAGGED = [HOUR, ("Vary", "Foo"), ("ETag", '"one"')]
_AMONG_VARIANTS: list[Case] = [
    case(
        "vary-tags-sent",
        "9111 4.3.1",
        "optimal",
        "the tags of other variants are sent on a miss",
        Step(send=[("Foo", "1")], answer=_TAGGED),
        Step(send=[("Foo", "2")], answer=[HOUR, ("Vary", "Foo"), ("ETag", '"two"')], expect="origin"),
        Step(
            send=[("Foo", "3")],
            answer=[HOUR, ("Vary", "Foo"), ("ETag", '"three"')],
            sent=[("If-None-Match", '"two", "one"')],
            expect="origin",
        ),
    ),
    case(
        "vary-tags-chosen",
        "9111 4.3.4",
        "optimal",
        "a 304 chooses the stored variant that it names",
        Step(send=[("Foo", "1")], answer=_TAGGED),
        Step(send=[("Foo", "2")], answer=[HOUR, ("Vary", "Foo"), ("ETag", '"two"')], expect="origin"),
        Step(
            send=[("Foo", "3")],
            answer=[*_TAGGED, ("A", "new")],
            expect="validated",
            expect_status=200,
            from_step=1,
            see=[("ETag", '"one"'), ("A", "new")],
        ),
        Step(send=[("Foo", "3")], expect="cached", from_step=1, see=[("A", "new")]),
        Step(send=[("Foo", "1")], expect="cached", from_step=1, see=[("A", "new")]),
        Step(send=[("Foo", "2")], expect="cached", from_step=2, unseen=["a"]),
    ),
    case(
        "vary-tags-unknown",
        "9111 4.3.4",
        "required",
        "a 304 that names none of the stored variants is not used",
        Step(send=[("Foo", "1")], answer=_TAGGED),
        Step(send=[("Foo", "2")], status=304, answer=[("ETag", '"else"')], expect_status=304),
    ),
    case(
        "vary-tags-own",
        "9110 13.1.2",
        "required",
        "the client's own condition is passed on",
        Step(send=[("Foo", "1")], answer=_TAGGED),
        Step(
            send=[("Foo", "2"), ("If-None-Match", '"mine"')],
            answer=[HOUR, ("Vary", "Foo")],
            sent=[("If-None-Match", '"mine"')],
            expect="origin",
        ),
    ),
]

CASES = [*_MATCHING, *_star(), *_NORMALISED, *_AMONG_VARIANTS]
